"""Values become the tokens that their tokenizers give one by one, in place and the same each time, and come back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightning_modules.data.raw import RawStore, write_shard
from modalities.layouts import ScaleConfig, Text
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.spec import SequenceModality, tokenizer_tasks
from networks.tokenizers import codec as codec_module
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.codec import Codec, decode_rows, encode_rows
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer

SCALE = ScaleConfig(size=32, patch=8, max_channels=8, max_vocab=16, max_tokens=40)
NAMES = ("rgb", "depth", "caption", "bounding_boxes", "t5_caption", "sam_instances")
MODALITIES = {name: default_registry()[name].scaled(SCALE) for name in NAMES}


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    """Tokenizers that have learnt nothing."""
    torch.manual_seed(0)
    tasks = tokenizer_tasks(MODALITIES)
    return {name: build_tokenizer(task, TokenizerConfig.nano()).eval() for name, task in tasks.items()}


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    """A text tokenizer of few words."""
    return TextTokenizer.train(["a red ball on a white floor", "a person in a green shirt", "none"])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> RawStore:
    """Five scenes."""
    folder = tmp_path_factory.mktemp("raw") / "shard"
    write_shard(folder, MODALITIES, open_source(SourceConfig(), MODALITIES), "train", range(5))
    return RawStore.open([folder], MODALITIES)


@pytest.fixture(scope="module")
def codec(tokenizers: dict[str, Tokenizer], text: TextTokenizer) -> Codec:
    """Everything together."""
    return Codec(modalities=MODALITIES, tokenizers=tokenizers, text_tokenizer=text)


def test_rows_are_encoded_alike_alone_and_in_batches(
    tokenizers: dict[str, Tokenizer], raw: RawStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.concatenate([MODALITIES["depth"].preprocess(value) for value in raw["depth"]])
    whole = encode_rows(tokenizers["depth"], rows)
    with torch.no_grad():
        alone = [tokenizers["depth"].encode(torch.from_numpy(row[None])).numpy()[0] for row in rows]
    np.testing.assert_array_equal(whole, np.stack(alone))
    monkeypatch.setattr(codec_module, "ENCODE_BATCH_SIZE", 2)
    np.testing.assert_array_equal(encode_rows(tokenizers["depth"], rows), whole)
    assert encode_rows(tokenizers["depth"], rows[:0]).shape == (0, tokenizers["depth"].num_tokens)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_value_stays_missing_and_moves_no_other(name: str, codec: Codec, raw: RawStore) -> None:
    values = list(raw[name])
    whole = codec.encode(name, values)
    gaps = codec.encode(name, [None, *values[1:3], None, values[4]])
    assert [item is None for item in gaps] == [True, False, False, True, False]
    for number in (1, 2, 4):
        np.testing.assert_array_equal(np.asarray(gaps[number]), np.asarray(whole[number]))
    assert codec.encode(name, [None, None]) == [None, None]


@pytest.mark.parametrize("name", NAMES)
def test_a_samples_tokens_do_not_depend_on_its_shard(name: str, codec: Codec, raw: RawStore) -> None:
    values = list(raw[name])
    whole = codec.encode(name, values, first=10)
    rest = codec.encode(name, values[3:], first=13)
    for own, other in zip(rest, whole[3:], strict=True):
        assert own is not None
        np.testing.assert_array_equal(own, other)


def test_a_caption_is_its_words_and_an_end_cut_to_the_longest(codec: Codec) -> None:
    assert codec.text_tokenizer is not None
    layout = MODALITIES["caption"].layout
    assert isinstance(layout, Text)
    short, long = codec.encode("caption", ["a red ball", "red " * 100])
    assert short is not None
    assert long is not None
    assert short.tolist() == [*codec.text_tokenizer.encode("a red ball"), codec.text_tokenizer.eos_id]
    assert long.tolist() == codec.text_tokenizer.encode("red " * 100)[: layout.max_tokens]
    assert short.dtype == np.int64


def test_the_vocabulary_is_the_tokenizers(codec: Codec) -> None:
    assert codec.vocab_size("depth") == 16
    assert codec.text_tokenizer is not None
    assert codec.vocab_size("caption") == codec.vocab_size("sam_instances") == codec.text_tokenizer.vocab_size
    assert codec.vocab_size("t5_caption") is None


def test_dense_tokens_are_decoded_by_the_tokenizer_and_the_modality(codec: Codec, raw: RawStore) -> None:
    (ids,) = codec.encode("depth", [raw["depth"][0]])
    assert ids is not None
    decoded = codec.decode("depth", torch.from_numpy(ids.astype(np.int64))[None])
    with torch.no_grad():
        row = codec.tokenizer("depth").decode(torch.from_numpy(ids.astype(np.int64))[None])[0].numpy()
    np.testing.assert_array_equal(decoded.values[0], MODALITIES["depth"].postprocess(row))
    assert decoded.well_formed == [True]
    assert codec.is_dense("depth")
    np.testing.assert_array_equal(codec.decode("depth", [ids.tolist()]).values[0], decoded.values[0])


def test_soft_decoding_of_certain_codes_is_decoding_them(codec: Codec) -> None:
    ids = torch.randint(16, (2, 16), generator=torch.Generator().manual_seed(0))
    hard = codec.decode("depth", ids)
    soft = codec.decode_soft("depth", F.one_hot(ids, codec.tokenizer("depth").vocab_size).float())
    np.testing.assert_allclose(np.stack(soft.values), np.stack(hard.values), atol=1e-4)


def test_sequences_are_parsed_and_their_grammar_is_checked(codec: Codec) -> None:
    text = codec.text_tokenizer
    assert text is not None
    sequences = [text.encode("v0=1 v1=2 v2=900 v3=901 ball"), text.encode("v0=1 v1=2 ball")]
    decoded = codec.decode("bounding_boxes", sequences)
    assert [len(value) for value in decoded.values] == [1, 0]
    assert decoded.well_formed == [True, False]
    assert not codec.is_dense("bounding_boxes")


def test_coded_parts_of_sequences_are_decoded_one_value_at_a_time_or_all_together(codec: Codec, raw: RawStore) -> None:
    modality = MODALITIES["sam_instances"]
    assert isinstance(modality, SequenceModality)
    wide = Codec(
        modalities={"sam_instances": replace(modality, layout=Text(max_tokens=4000))},
        tokenizers=codec.tokenizers,
        text_tokenizer=codec.text_tokenizer,
    )
    ids = [item.tolist() for item in wide.encode("sam_instances", list(raw["sam_instances"])) if item is not None]
    together = wide.decode("sam_instances", ids).values
    assert sum(map(len, together)) > 0
    for row, value in zip(ids, together, strict=True):
        np.testing.assert_array_equal(wide.decode("sam_instances", [row]).values[0], value)


def test_a_code_beyond_the_codebook_counts_as_its_last(codec: Codec) -> None:
    tokenizer = codec.tokenizer("sam_instances")
    last = np.full((1, tokenizer.num_tokens), tokenizer.vocab_size - 1)
    np.testing.assert_array_equal(decode_rows(tokenizer, last + 5), decode_rows(tokenizer, last))


def test_targets_are_what_a_model_can_predict(codec: Codec) -> None:
    assert codec.targets == ("rgb", "depth", "caption", "bounding_boxes", "sam_instances")
