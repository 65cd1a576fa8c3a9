"""Values become the tokens that their tokenizers give one by one, in place, and the same on every run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.data import tokenize as module
from lightning_modules.data.raw import RawStore, render_shard
from lightning_modules.data.store import TokenStore
from lightning_modules.data.tokenize import encode_rows, encode_values, tokenize_shard
from modalities.errors import DataError
from modalities.layouts import Scale, Text
from modalities.registry import default_registry
from modalities.spec import Modality, learned_tokenizer, tokenizer_tasks
from networks.streams import streams_of
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer, TokenizerOutput

SCALE = Scale(size=32, patch=8, max_channels=8, max_vocab=16, max_tokens=40)
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
    render_shard(folder, MODALITIES, "train", range(5))
    return RawStore.open([folder], MODALITIES)


def tokens(
    modality: Modality, values: list[Any], tokenizers: dict[str, Tokenizer], text: TextTokenizer, first: int = 0
) -> list[Any]:
    """The tokens of values under seed 0."""
    part = learned_tokenizer(modality)
    return encode_values(modality, values, tokenizers[part.tokenizer.name] if part else None, text, seed=0, first=first)


def test_rows_are_encoded_alike_alone_and_in_batches(
    tokenizers: dict[str, Tokenizer], raw: RawStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.concatenate([MODALITIES["depth"].preprocess(value) for value in raw["depth"]])
    whole = encode_rows(tokenizers["depth"], rows)
    with torch.no_grad():
        alone = [tokenizers["depth"].encode(torch.from_numpy(row[None])).numpy()[0] for row in rows]
    np.testing.assert_array_equal(whole, np.stack(alone))
    monkeypatch.setattr(module, "ENCODE_BATCH_SIZE", 2)
    np.testing.assert_array_equal(encode_rows(tokenizers["depth"], rows), whole)
    assert encode_rows(tokenizers["depth"], rows[:0]).shape == (0, tokenizers["depth"].num_tokens)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_value_stays_missing_and_moves_no_other(
    name: str, tokenizers: dict[str, Tokenizer], text: TextTokenizer, raw: RawStore
) -> None:
    values = list(raw[name])
    whole = tokens(MODALITIES[name], values, tokenizers, text)
    gaps = tokens(MODALITIES[name], [None, *values[1:3], None, values[4]], tokenizers, text)
    assert [item is None for item in gaps] == [True, False, False, True, False]
    for number in (1, 2, 4):
        np.testing.assert_array_equal(gaps[number], whole[number])
    assert tokens(MODALITIES[name], [None, None], tokenizers, text) == [None, None]


@pytest.mark.parametrize("name", NAMES)
def test_a_samples_tokens_do_not_depend_on_its_shard(
    name: str, tokenizers: dict[str, Tokenizer], text: TextTokenizer, raw: RawStore
) -> None:
    values = list(raw[name])
    whole = tokens(MODALITIES[name], values, tokenizers, text, first=10)
    rest = tokens(MODALITIES[name], values[3:], tokenizers, text, first=13)
    for own, other in zip(rest, whole[3:], strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_caption_is_its_words_and_an_end_cut_to_the_longest(
    tokenizers: dict[str, Tokenizer], text: TextTokenizer
) -> None:
    layout = MODALITIES["caption"].layout
    assert isinstance(layout, Text)
    short, long = tokens(MODALITIES["caption"], ["a red ball", "red " * 100], tokenizers, text)
    assert short.tolist() == [*text.encode("a red ball"), text.eos_id]
    assert long.tolist() == text.encode("red " * 100)[: layout.max_tokens]
    assert short.dtype == np.int64


def test_a_shard_of_tokens_is_what_its_values_give(
    tokenizers: dict[str, Tokenizer], text: TextTokenizer, raw: RawStore, tmp_path: Path
) -> None:
    fingerprints = {name: f"print of {name}" for name in NAMES}
    told: list[float] = []
    tokenize_shard(tmp_path, raw, tokenizers, text, fingerprints, progress=told.append)
    assert told == pytest.approx([(number + 1) / len(NAMES) for number in range(len(NAMES))])
    streams = streams_of(MODALITIES, text.vocab_size)
    store = TokenStore([tmp_path], streams, fingerprints={**fingerprints, "rgb_pixels": "raw"})
    columns = store.read(np.arange(5), [stream.name for stream in streams])
    np.testing.assert_array_equal(columns["rgb_pixels"].values.numpy(), np.stack(list(raw["rgb"])))
    for name, modality in MODALITIES.items():
        expected = tokens(modality, list(raw[name]), tokenizers, text)
        for found, length, item in zip(columns[name].values, columns[name].lengths, expected, strict=True):
            np.testing.assert_array_equal(found[:length].numpy(), item)
    assert {stream.name for stream in streams} == {path.name for path in tmp_path.iterdir()}


class _LastCodes(Tokenizer):
    """Gives every sample the codes 70,000 and up, as large codebooks do."""

    def __init__(self, num_tokens: int, vocab_size: int) -> None:
        super().__init__()
        self.num_tokens, self.vocab_size = num_tokens, vocab_size

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return (70_000 + torch.arange(self.num_tokens)).expand(len(x), -1)

    def decode(self, ids: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        raise NotImplementedError

    def decode_soft(self, probabilities: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        raise NotImplementedError

    def loss(self, x: torch.Tensor, generator: torch.Generator) -> TokenizerOutput:
        raise NotImplementedError


@pytest.mark.parametrize(("vocab_size", "fits"), [(1 << 17, True), (70_001, False)])
def test_codes_beyond_16_bits_reach_the_store_or_are_refused(
    vocab_size: int, *, fits: bool, raw: RawStore, tmp_path: Path
) -> None:
    depth = RawStore.open(raw.folders, {"depth": MODALITIES["depth"]})
    tokenizer = _LastCodes(MODALITIES["depth"].num_tokens, vocab_size)
    if not fits:
        with pytest.raises(DataError, match="Stream 'depth' has the id 70001, expected 0 to 70000"):
            tokenize_shard(tmp_path, depth, {"depth": tokenizer}, None, {"depth": "f"})
        return
    tokenize_shard(tmp_path, depth, {"depth": tokenizer}, None, {"depth": "f"})
    store = TokenStore([tmp_path], streams_of({"depth": MODALITIES["depth"]}, 0))
    found = store.read([4], ["depth"])["depth"].values
    assert found.tolist() == [[70_000 + number for number in range(tokenizer.num_tokens)]]
