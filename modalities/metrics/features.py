"""Metrics of feature maps and vectors in stacked tensors: cosine, and whether a prediction finds its own target."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from modalities.metrics.base import FRACTION, RatioOfSums, collect

MAX_ROWS = 2048
"""Most rows that nearest neighbours are looked for among: 2,048 squared is 4 million cosines."""
ROWS_PER_SAMPLE = 8
"""Most cells of one feature map that take part, at even steps, so that at least 256 samples do."""


def is_valid_feature(rows: Float[Tensor, "... c"]) -> Bool[Tensor, "..."]:
    """True where there is a vector: finite and not zero."""
    return rows.isfinite().all(-1) & (rows != 0).any(-1)


def cosine_terms(prediction: Float[Tensor, "b ... c"], target: Float[Tensor, "b ... c"]) -> tuple[Tensor, Tensor]:
    """Cosines of vectors, where the target has one; 0 for a prediction of length zero."""
    valid = is_valid_feature(target)
    found = F.cosine_similarity(prediction[valid].double(), target[valid].double(), dim=-1)
    return found.sum(), valid.sum()


def is_nearest_to_own_target(prediction: Float[Tensor, "n c"], target: Float[Tensor, "n c"]) -> Bool[Tensor, " n"]:
    """True where no row of ``target`` is nearer by cosine than a prediction's own. Equally near ones do no harm."""
    similarity = F.normalize(prediction.float(), dim=-1) @ F.normalize(target.float(), dim=-1).T
    # Rounding must not decide between equal targets, such as two cells of plain sky.
    return similarity.diagonal() >= similarity.max(dim=1).values - 1e-5


def sample_cell_indices(cells: int) -> Int[Tensor, " n"]:
    """Indices of the sampled cells of one sample: at most `ROWS_PER_SAMPLE`, from the middle of even stretches."""
    count = min(cells, ROWS_PER_SAMPLE)
    return ((torch.arange(count) * 2 + 1) * cells) // (2 * count)


class NearestNeighborAccuracy(Metric):
    """Share of predicted vectors whose nearest target, of all in the evaluated set, is their own.

    The set is the first `max_rows` rows on each process, `ROWS_PER_SAMPLE` cells of a feature map at most, cut evenly
    to `max_rows` over all processes. A larger set is harder, so compare only results over equally many samples. Every
    process must have added a batch before any asks for the result, as with all that torchmetrics concatenates.
    """

    full_state_update = False
    higher_is_better = True
    title, unit = "nearest", FRACTION
    predictions: Any
    targets: Any

    def __init__(self, max_rows: int = MAX_ROWS, **kwargs: Any) -> None:
        """Take the largest number of rows."""
        super().__init__(**kwargs)
        self.max_rows = max_rows
        self.add_state("predictions", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, prediction: Float[Tensor, "b ... c"], target: Float[Tensor, "b ... c"]) -> None:
        """Add a batch, as far as there is room."""
        num_free_rows = self.max_rows - sum(len(rows) for rows in self.targets)
        if num_free_rows <= 0:
            return
        one, other = (rows.reshape(len(rows), -1, rows.shape[-1]) for rows in (prediction, target))
        cells = sample_cell_indices(other.shape[1]).to(other.device)
        one, other = one[:, cells].flatten(0, 1), other[:, cells].flatten(0, 1)
        valid = is_valid_feature(other)
        # Copied: a view would keep the whole batch alive until the end.
        self.predictions.append(one[valid][:num_free_rows].float().clone())
        self.targets.append(other[valid][:num_free_rows].float().clone())

    def compute(self) -> Float[Tensor, ""]:
        """The share; nan where nothing was added."""
        if not len(self.targets):
            return torch.tensor(math.nan)
        one, other = (
            rows if isinstance(rows, Tensor) else torch.cat(rows) for rows in (self.predictions, self.targets)
        )
        count = min(len(other), self.max_rows)
        kept = torch.arange(count, device=other.device) * len(other) // max(count, 1)
        return is_nearest_to_own_target(one[kept], other[kept]).float().mean()


class CosineSimilarity(RatioOfSums):
    """Mean cosine of predicted and true vectors, where there is a true one."""

    higher_is_better = True
    title = unit = "cosine"

    def terms(self, prediction: Float[Tensor, "b ... c"], target: Float[Tensor, "b ... c"]) -> tuple[Tensor, Tensor]:
        """Sum and number of the cosines."""
        return cosine_terms(prediction, target)


def feature_vector_metrics() -> MetricCollection:
    """Fresh metrics of features: mean cosine, and nearest-neighbour accuracy."""
    return collect(cosine=CosineSimilarity(), nearest=NearestNeighborAccuracy())
