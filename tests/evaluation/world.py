"""A world small enough to compute by hand: an image, its shade, a score vector, a note; tokenizers without training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MeanSquaredError, Metric, MetricCollection

from evaluation.samples import EvalSplit
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Dense, Embeddings, Text
from modalities.metrics.base import FRACTION, collect
from modalities.spec import Crop, Modality, Provenance, Value
from modalities.tokenizer_specs import NoTokenizer, ReconstructionLoss, ViTVQ, WordPiece
from modalities.values import ValueSequence
from modalities.vocabulary import EOS_ID, UNK_ID, sentinel_token_id
from networks.batch import PaddedTokens, Samples
from networks.fourm.config import FourMConfig, Init, Size
from networks.fourm.model import FourM
from networks.masking.masker import select
from networks.streams import PixelStream, Stream, streams_of, token_stream
from networks.tokenizers.codec import Codec
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer, TokenizerOutput

LEVELS = 4
WORDS = ("dark", "dim", "light", "bright")


class RootMeanSquaredError(MeanSquaredError):
    """torchmetrics' own, as a table shows it."""

    title, unit = "RMSE", "m"


class FractionCorrect(Metric):
    """Share of values that are right to 1e-4, by sample."""

    full_state_update = False
    higher_is_better = True
    title, unit = "right", FRACTION
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "count"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add pairs."""
        self.right += ((predictions - targets).abs().flatten(1).amax(1) < 1e-4).sum()
        self.count += len(targets)

    def compute(self) -> Tensor:
        """The share."""
        return self.right / self.count


@dataclass(frozen=True, kw_only=True)
class Shade(Modality):
    """Grey values 0..1 on a grid, (h, w) float32."""

    def read_file(self, path: Path) -> Value:
        """The array."""
        return np.load(path)

    def write_file(self, path: Path, value: Value) -> None:
        """Write the array."""
        np.save(path, value)

    def transform(self, value: Value, crop: Crop) -> Value:
        """The same."""
        return value

    def render(self, value: Value) -> NDArray[np.uint8]:
        """Grey."""
        grey = (np.asarray(value, dtype=np.float32).clip(0, 1) * 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else grey

    def metrics(self) -> MetricCollection:
        """RMSE and share of right samples."""
        return collect(rmse=RootMeanSquaredError(squared=False), right=FractionCorrect())

    def constant_baseline(self, values: Sequence[Value]) -> Value:
        """The mean."""
        return np.mean(np.stack(list(values)).astype(np.float64), axis=0).astype(np.float32)

    def collate(self, values: Sequence[Value]) -> Tensor:
        """Stacked."""
        return torch.from_numpy(np.stack(list(values)).astype(np.float32))

    def preprocess(self, value: Value) -> NDArray[np.float32]:
        """One row (1, h, w)."""
        return np.asarray(value, dtype=np.float32)[None, None]

    def postprocess(self, row: NDArray[np.float32]) -> Value:
        """The grey values."""
        return row[0]


@dataclass(frozen=True, kw_only=True)
class Picture(Shade):
    """An image, (h, w, 3) uint8, grey in truth."""

    def preprocess(self, value: Value) -> NDArray[np.float32]:
        """Its first channel as 0..1."""
        return np.asarray(value, dtype=np.float32)[None, None, ..., 0] / np.float32(255)

    def postprocess(self, row: NDArray[np.float32]) -> Value:
        """Three equal channels."""
        return np.repeat((row[0] * 255).round().astype(np.uint8)[..., None], 3, axis=2)

    def render(self, value: Value) -> NDArray[np.uint8]:
        """Itself."""
        return np.asarray(value, dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class CaptionModality(FreeTextModality):
    """One word for each place, from left to right."""


@dataclass(frozen=True, kw_only=True)
class VectorModality(Shade):
    """Vectors, (n, c) float32: an input only."""


class LevelTokenizer(Tokenizer):
    """A patch's code is the nearest of some even levels to its mean; nothing is learnt."""

    levels: Tensor

    def __init__(self, layout: Dense, levels: int = LEVELS) -> None:
        super().__init__()
        self.layout, self.num_tokens, self.vocab_size = layout, layout.num_tokens, levels
        self.register_buffer("levels", torch.linspace(0, 1, levels))

    def encode(self, x: Tensor) -> Tensor:
        """The nearest level of each patch."""
        means = torch.nn.functional.avg_pool2d(x, self.layout.patch).flatten(1)
        return (means[..., None] - self.levels).abs().argmin(-1)

    def decode(self, ids: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Flat patches."""
        return self.decode_soft(torch.nn.functional.one_hot(ids, self.vocab_size).float())

    def decode_soft(self, probabilities: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Flat patches of the mean level."""
        grid, patch = self.layout.grid, self.layout.patch
        means = (probabilities @ self.levels).view(-1, 1, grid, grid)
        return torch.nn.functional.interpolate(means, scale_factor=patch)

    def loss(self, x: Tensor, generator: torch.Generator) -> TokenizerOutput:
        """Never trained."""
        raise NotImplementedError


class InMemoryTokenStore:
    """Token samples in memory."""

    def __init__(self, columns: dict[str, list[Tensor]], images: set[str]) -> None:
        self.stored, self.images = columns, images

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        """The samples, padded to the longest."""
        found: dict[str, PaddedTokens] = {}
        for name in streams:
            rows = [self.stored[name][int(index)] for index in indices]
            if name in self.images:
                found[name] = PaddedTokens(values=torch.stack(rows), lengths=torch.full((len(rows),), 4))
            else:
                lengths = torch.tensor([len(row) for row in rows])
                found[name] = PaddedTokens(
                    values=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths=lengths
                )
        return found


def layout(channels: int = 1) -> Dense:
    """Four patches of 4 x 4."""
    return Dense(channels=channels, size=8, patch=4)


def modalities() -> dict[str, Modality]:
    """The world's modalities, one of them a proxy and one an input only."""
    image, shade = (ViTVQ(name=name, vocab_size=LEVELS, loss=ReconstructionLoss.mse) for name in ("rgb", "shade"))
    found = [
        Picture(name="rgb", title="RGB", layout=layout(3), tokenizer=image, has_pixel_stream=True),
        Shade(name="shade", title="Shade", layout=layout(), tokenizer=shade),
        Shade(
            name="glow",
            title="Glow <b>",
            layout=layout(),
            tokenizer=shade,
            provenance=Provenance.proxy,
        ),
        CaptionModality(name="caption", title="Caption", layout=Text(max_tokens=8), tokenizer=WordPiece()),
        VectorModality(
            name="t5_caption", title="T5", layout=Embeddings(channels=3, max_tokens=4), tokenizer=NoTokenizer()
        ),
    ]
    return {item.name: item for item in found}


def random_levels(count: int, seed: int) -> NDArray[np.int64]:
    """The four patches' levels of each sample; the first patch is mostly bright."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, LEVELS, size=(count, 4))
    levels[:, 0] = np.where(rng.random(count) < 0.7, LEVELS - 1, levels[:, 0])
    return levels


def codec() -> Codec:
    """The world's modalities and tokenizers."""
    text = TextTokenizer.train([" ".join(WORDS)] * 4, vocab_size=5000)
    learned = {name: LevelTokenizer(layout()) for name in ("rgb", "shade")}
    return Codec(modalities=modalities(), tokenizers=learned, text_tokenizer=text)


def make_streams(codec: Codec) -> tuple[Stream, ...]:
    """The streams of the world's tokens; the head of captions knows the words of the world alone."""
    text = codec.text_tokenizer
    assert text is not None
    ids = (
        UNK_ID,
        EOS_ID,
        sentinel_token_id(1),
        sentinel_token_id(2),
        *text.encode(" ".join(WORDS)),
    )
    return tuple(
        replace(token_stream(stream), predictable=tuple(sorted(set(ids)))) if stream.name == "caption" else stream
        for stream in streams_of(codec.modalities, text.vocab_size)
    )


def make_split(codecs: Codec, count: int, seed: int, noise: float = 0.0) -> EvalSplit:
    """Samples whose every modality says the same four levels; shades are off by ``noise`` within a patch."""
    levels = random_levels(count, seed)
    rng = np.random.default_rng(seed + 1)
    small = (levels / (LEVELS - 1)).reshape(count, 2, 2)
    grey = small.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)
    pictures = np.repeat((grey * 255).round().astype(np.uint8)[..., None], 3, axis=3)
    noise_pattern = noise * np.where(np.indices((8, 8)).sum(0) % 2, 1, -1).astype(np.float32)
    notes = [" ".join(WORDS[level] for level in row) for row in levels]
    assert codecs.text_tokenizer is not None
    ids = torch.from_numpy(levels)
    vectors = rng.normal(size=(count, 4, 3)).astype(np.float32)
    tokens = {
        "rgb_pixels": list(torch.from_numpy(pictures)),
        "rgb": list(ids),
        "shade": list(ids),
        "glow": list(ids),
        "caption": [
            torch.tensor([*codecs.text_tokenizer.encode(note), codecs.text_tokenizer.eos_id]) for note in notes
        ],
        "t5_caption": list(torch.from_numpy(vectors)),
    }
    values: dict[str, ValueSequence] = {
        "rgb": pictures,
        "shade": grey + noise_pattern,
        "glow": grey + noise_pattern,
        "caption": notes,
        "t5_caption": vectors,
    }
    streams = make_streams(codecs)
    images = {stream.name for stream in streams if isinstance(stream, PixelStream)}
    return EvalSplit(values=values, tokens=InMemoryTokenStore(tokens, images), streams=streams, num_samples=count)


def find_stream(streams: Sequence[Stream], name: str) -> Stream:
    """The stream of a name."""
    return next(stream for stream in streams if stream.name == name)


def streams_without(streams: Sequence[Stream], *names: str) -> tuple[Stream, ...]:
    """The streams but these."""
    return tuple(stream for stream in streams if stream.name not in names)


def make_model(streams: Sequence[Stream], seed: int = 0) -> FourM:
    """A small model, untrained."""
    torch.manual_seed(seed)
    config = FourMConfig(size=Size.nano, width=32, heads=2, encoder_depth=1, decoder_depth=1, init=Init.local)
    return FourM(streams, config).eval()


def train_model(model: FourM, data: EvalSplit, steps: int, seed: int = 0) -> None:
    """Train a model on 24 samples at a time: from pixels to all tokens, and in turn from captions to shades.

    The rate falls to nothing: at a constant one, what is learnt last depends on the last bits of a processor.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1) * (1 - step / steps))
    targets = [stream.name for stream in model.streams if stream.is_target]
    for step in range(steps):
        chosen = torch.randint(data.num_samples, (24,), generator=generator)
        source, target_names = ("rgb_pixels", targets) if step % 4 else ("caption", ["shade"])
        samples = data.tokens.read(chosen.tolist(), [source, *target_names])
        optimizer.zero_grad()
        model(select(samples, model.streams, inputs=[source], targets=target_names)).loss.backward()
        optimizer.step()
        rate.step()
