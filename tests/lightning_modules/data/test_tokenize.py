"""The token store holds what the codec encodes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.data.store import TokenStore
from lightning_modules.data.tokenize import tokenize_shard
from modalities.errors import DataError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from modalities.spec import tokenizer_tasks
from networks.streams import streams_of
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.codec import Codec
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer, TokenizerOutput

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


def test_a_shard_of_tokens_is_what_its_values_give(
    tokenizers: dict[str, Tokenizer], text: TextTokenizer, raw: RawStore, tmp_path: Path
) -> None:
    fingerprints = {name: f"print of {name}" for name in NAMES}
    told: list[float] = []
    codec = Codec(modalities=MODALITIES, tokenizers=tokenizers, text_tokenizer=text)
    tokenize_shard(tmp_path, raw, codec, fingerprints, progress=told.append)
    assert told == pytest.approx([(number + 1) / len(NAMES) for number in range(len(NAMES))])
    streams = streams_of(MODALITIES, text.vocab_size)
    store = TokenStore([tmp_path], streams, fingerprints={**fingerprints, "rgb_pixels": "raw"})
    columns = store.read(np.arange(5), [stream.name for stream in streams])
    np.testing.assert_array_equal(columns["rgb_pixels"].values.numpy(), np.stack(list(raw["rgb"])))
    for name in MODALITIES:
        expected = codec.encode(name, list(raw[name]))
        for found, length, item in zip(columns[name].values, columns[name].lengths, expected, strict=True):
            assert item is not None
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
    codec = Codec(modalities={"depth": MODALITIES["depth"]}, tokenizers={"depth": tokenizer})
    if not fits:
        with pytest.raises(DataError, match="Stream 'depth' has the id 70001, expected 0 to 70000"):
            tokenize_shard(tmp_path, depth, codec, {"depth": "f"})
        return
    tokenize_shard(tmp_path, depth, codec, {"depth": "f"})
    store = TokenStore([tmp_path], streams_of({"depth": MODALITIES["depth"]}, 0))
    found = store.read([4], ["depth"])["depth"].values
    assert found.tolist() == [[70_000 + number for number in range(tokenizer.num_tokens)]]
