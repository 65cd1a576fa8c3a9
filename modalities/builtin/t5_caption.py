"""T5 embeddings of the caption: an input only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.corrections import report_correction
from modalities.errors import DataError
from modalities.kinds.arrays import as_array, require_finite, require_floats, require_range
from modalities.layouts import Embeddings
from modalities.metrics.base import RatioOfSums, collect
from modalities.metrics.features import cosine_terms
from modalities.rendering.colors import render_vector_rows
from modalities.spec import Crop, Modality, Provenance
from modalities.storage.files import load_array, write_array
from modalities.tokenizer_specs import NoTokenizer
from modalities.values import FLOAT16_MAX, ValueSpec

EmbeddingRows = Float32[np.ndarray, "_ c"]


@dataclass(frozen=True, kw_only=True)
class T5Caption(Modality):
    """One vector for each token of the caption, float32 (n, channels), at most `layout.max_tokens` of them.

    A mirrored image keeps its embeddings, although its caption exchanges left and right.
    """

    @property
    def embedding_layout(self) -> Embeddings:
        """The layout, which is a sequence of vectors."""
        assert isinstance(self.layout, Embeddings)
        return self.layout

    @property
    def value_spec(self) -> ValueSpec:
        """Finite vectors that fit the 16 bits in which they are stored."""
        layout = self.embedding_layout
        return ValueSpec(
            type="float32",
            shape=f"(n, {layout.channels})",
            unit=f"1 to {layout.max_tokens} vectors as floats",
            low=-FLOAT16_MAX,
            high=FLOAT16_MAX,
            files=".npy of floats",
        )

    def read_file(self, path: Path) -> EmbeddingRows:
        """The vectors in a .npy file, cut to the longest that is kept."""
        return self.check(load_array(path), str(path))

    def check(self, value: Any, origin: str) -> EmbeddingRows:
        """Finite floats (n, c); of more than `layout.max_tokens` vectors the first are kept, which is reported."""
        layout, expected = self.embedding_layout, str(self.value_spec)
        array = require_floats(origin, as_array(origin, value, expected), expected)
        if array.ndim != 2 or array.shape[1] != layout.channels or not len(array):
            raise DataError(f"{origin} has shape {array.shape}, expected {expected}.")
        require_finite(origin, array, expected)
        require_range(origin, array, self.value_spec)
        if len(array) > layout.max_tokens:
            report_correction(f"{origin} has {len(array)} vectors: the first {layout.max_tokens} are kept.")
        return array[: layout.max_tokens]

    def coerce(self, value: Any) -> EmbeddingRows:
        """Vectors as `check` takes them."""
        return self.check(value, self.name)

    def write_file(self, path: Path, value: EmbeddingRows) -> None:
        """Write a .npy file."""
        write_array(path, np.asarray(value, dtype=np.float32))

    @property
    def is_flip_invariant(self) -> bool:
        """True: the vectors are kept."""
        return True

    def transform(self, value: EmbeddingRows, crop: Crop) -> EmbeddingRows:
        """The same vectors."""
        return value

    def render(self, value: EmbeddingRows) -> UInt8[np.ndarray, "h w 3"]:
        """A heat map, one line for each token."""
        return render_vector_rows(value)

    def metrics(self) -> MetricCollection:
        """Mean cosine of the vectors at the same places, as far as both sequences go."""
        return collect(cosine=AlignedCosineSimilarity())

    def constant_baseline(self, values: Sequence[EmbeddingRows]) -> EmbeddingRows:
        """The mean vector of each place over the sequences that reach it, as long as the median sequence."""
        lengths = [len(value) for value in values]
        count = int(np.median(lengths))
        total = np.zeros((count, self.embedding_layout.channels))
        for value in values:
            total[: len(value)] += value[:count]
        reached = np.maximum((np.array(lengths)[:, None] > np.arange(count)).sum(0), 1)
        guess: EmbeddingRows = (total / reached[:, None]).astype(np.float32)
        return guess


class AlignedCosineSimilarity(RatioOfSums):
    """Mean cosine of the vectors at the same places of two lists of sequences."""

    higher_is_better = True
    title = unit = "cosine"

    def terms(
        self, prediction: Sequence[EmbeddingRows], target: Sequence[EmbeddingRows]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Sum and number of the cosines."""
        total, count = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.long)
        for one, other in zip(prediction, target, strict=True):
            common = min(len(one), len(other))
            numerator, denominator = cosine_terms(*(torch.from_numpy(rows[:common].copy()) for rows in (one, other)))
            total, count = total + numerator, count + denominator
        return total, count


MODALITY = T5Caption(
    name="t5_caption",
    title="T5 caption embeddings (proxy)",
    layout=Embeddings(channels=4096, max_tokens=77),
    tokenizer=NoTokenizer(),
    provenance=Provenance.proxy,
    labeller="T5-XXL encoder on the captions",
)
