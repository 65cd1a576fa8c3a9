"""T5 embeddings of the caption: an input only. The embedded data set has a proxy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from modalities.drawing import draw_rows
from modalities.feature_metrics import cosine
from modalities.files import read_array, write_array
from modalities.labellers.features import text_embedding
from modalities.metrics import MeanOver
from modalities.spec import Embeddings, Linear, Measure, Modality, Provenance, View

if TYPE_CHECKING:
    from modalities.scene import Scene

Rows = Float32[np.ndarray, "_ c"]


@dataclass(frozen=True, kw_only=True)
class T5Caption(Modality):
    """One vector for each token of the caption, float32 (n, channels), at most `layout.max_tokens` of them.

    A mirrored image keeps its embeddings, although its caption exchanges left and right.
    """

    @property
    def rows(self) -> Embeddings:
        """The layout, which is a sequence of vectors."""
        assert isinstance(self.layout, Embeddings)
        return self.layout

    def look(self, scene: "Scene") -> Rows:
        """The proxy's embedding of the scene's caption."""
        return text_embedding(scene.caption, channels=self.rows.channels, max_tokens=self.rows.max_tokens)

    def read(self, path: Path) -> Rows:
        """The vectors in a .npy file, cut to the longest that is kept."""
        return read_array(path, (None, self.rows.channels))[: self.rows.max_tokens]

    def write(self, path: Path, value: Rows) -> None:
        """Write a .npy file."""
        write_array(path, np.asarray(value, dtype=np.float32))

    def augment(self, value: Rows, view: View) -> Rows:
        """The same vectors."""
        return value

    def draw(self, value: Rows) -> UInt8[np.ndarray, "h w 3"]:
        """A heat map, one line for each token."""
        return draw_rows(value)

    def metrics(self) -> dict[str, Measure]:
        """Mean cosine of the vectors at the same places, as far as both sequences go."""
        metric = MeanOver("cosine", aligned_cosine)
        return {"cosine": Measure(metric=metric, unit="cosine", higher_is_better=True)}

    def typical(self, values: Sequence[Rows]) -> Rows:
        """The mean vector of each place over the sequences that reach it, as long as the median sequence."""
        lengths = [len(value) for value in values]
        count = int(np.median(lengths))
        total = np.zeros((count, self.rows.channels))
        for value in values:
            total[: len(value)] += value[:count]
        reached = np.maximum((np.array(lengths)[:, None] > np.arange(count)).sum(0), 1)
        guess: Rows = (total / reached[:, None]).astype(np.float32)
        return guess


def aligned_cosine(predictions: Sequence[Rows], targets: Sequence[Rows]) -> tuple[Tensor, Tensor]:
    """Cosines of vectors at the same places of two lists of sequences."""
    total, count = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.long)
    for prediction, target in zip(predictions, targets, strict=True):
        common = min(len(prediction), len(target))
        above, below = cosine(*(torch.from_numpy(rows[:common].copy()) for rows in (prediction, target)))
        total, count = total + above, count + below
    return total, count


MODALITY = T5Caption(
    name="t5_caption",
    title="T5 caption embeddings (proxy)",
    layout=Embeddings(channels=4096, max_tokens=77),
    tokenizer=Linear(),
    provenance=Provenance.proxy,
    labeller="T5-XXL encoder on the captions",
)
