"""Metrics of values in stacked tensors: depth, normals, classes, edges. Pure functions under thin classes.

Each state is a sum over samples, so batches and processes only have to be added. State names differ from metric to
metric: `torchmetrics.MetricCollection` takes metrics whose equally named states happen to agree after the first batch
for one and the same, and from then on updates only one of them.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Integer, Num
from torch import Tensor
from torchmetrics import Metric

from modalities.metrics.base import RatioOfSums
from modalities.spec import MetricInfo


def _sum_and_count(values: Float[Tensor, "..."], valid: Bool[Tensor, "..."]) -> tuple[Tensor, Tensor]:
    """The sum of the values at valid places, and the number of places."""
    kept = values.double()[valid]
    return kept.sum(), valid.sum()


def is_valid_depth(depth: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """True where there is a depth: finite and above 0."""
    return depth.isfinite() & (depth > 0)


def squared_error_terms(prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
    """Squared differences of depth, where the target has one."""
    return _sum_and_count((prediction - target) ** 2, is_valid_depth(target))


def abs_rel_terms(prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
    """Differences of depth as shares of the target's (AbsRel), where it has one."""
    return _sum_and_count((prediction - target).abs() / target, is_valid_depth(target))


def delta1_terms(prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
    """Places at which neither depth is 1.25 times the other (delta1), where the target has one. 0 or less is wrong."""
    is_right = (prediction < 1.25 * target) & (target < 1.25 * prediction)
    return _sum_and_count(is_right.double(), is_valid_depth(target))


def depth_metrics() -> dict[str, MetricInfo]:
    """Fresh metrics of depth, over all places of all samples together: RMSE, AbsRel, delta1."""
    rmse = RatioOfSums("rmse", squared_error_terms, take_sqrt=True)
    return {
        "rmse": MetricInfo(metric=rmse, unit="m", higher_is_better=False),
        "abs_rel": MetricInfo(metric=RatioOfSums("abs_rel", abs_rel_terms), unit="share", higher_is_better=False),
        "delta1": MetricInfo(metric=RatioOfSums("delta1", delta1_terms), unit="share", higher_is_better=True),
    }


def angles_in_degrees(one: Float[Tensor, "*n 3"], other: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Angles between vectors of any length, in degrees; 90 where one of them is zero."""
    one, other = one.double(), other.double()
    cross = torch.linalg.vector_norm(torch.linalg.cross(one, other), dim=-1)
    dot = (one * other).sum(-1)
    found = torch.rad2deg(torch.atan2(cross, dot))
    is_zero = (one == 0).all(-1) | (other == 0).all(-1)
    return torch.where(is_zero, torch.full_like(found, 90.0), found)


class AngleTerms:
    """Terms of the mean angle, or of the share of places under a limit. A class, so that metrics can be pickled."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit

    def __call__(self, prediction: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> tuple[Tensor, Tensor]:
        """Angles in degrees, or whether they are under the limit, where the target has a direction."""
        valid = target.isfinite().all(-1) & (target != 0).any(-1)
        found = angles_in_degrees(prediction, target)
        return _sum_and_count(found if self.limit is None else (found < self.limit).double(), valid)


def surface_normal_metrics() -> dict[str, MetricInfo]:
    """Fresh metrics of normals, over all places together: mean angle, and shares under 11.25, 22.5 and 30 degrees."""
    metrics = {
        "mean_angle": MetricInfo(metric=RatioOfSums("mean_angle", AngleTerms()), unit="deg", higher_is_better=False)
    }
    for name, limit in (("under_11_25", 11.25), ("under_22_5", 22.5), ("under_30", 30.0)):
        metrics[name] = MetricInfo(metric=RatioOfSums(name, AngleTerms(limit)), unit="share", higher_is_better=True)
    return metrics


def confusion(
    prediction: Integer[Tensor, "b h w"], target: Integer[Tensor, "b h w"], classes: int
) -> Int[Tensor, "classes others"]:
    """Counts of places by target class (rows) and predicted class; the last column is for what is no class.

    Places whose target is no class are left out.
    """
    guess, truth = prediction.long().flatten(), target.long().flatten()
    valid = (truth >= 0) & (truth < classes)
    guess = torch.where((guess >= 0) & (guess < classes), guess, classes)
    cells = truth[valid] * (classes + 1) + guess[valid]
    return torch.bincount(cells, minlength=classes * (classes + 1)).view(classes, classes + 1)


def mean_iou(counts: Num[Tensor, "classes others"]) -> Float[Tensor, ""]:
    """Intersection over union, averaged over the classes that occur in the targets.

    A class that is only ever predicted has no term of its own, so that the mean is over the same classes for all who
    answer the same question; it still costs those whose places it took.
    """
    right = counts.diagonal().double()
    there = counts.sum(1).double()
    union = there + counts[:, :-1].sum(0).double() - right
    occurs = there > 0
    shares: Tensor = right[occurs] / union[occurs]
    return shares.mean().float()


def pixel_accuracy(counts: Num[Tensor, "classes others"]) -> Float[Tensor, ""]:
    """Share of places whose class is right."""
    return (counts.diagonal().sum().double() / counts.sum()).float()


class ConfusionMatrixMetric(Metric):
    """A figure of the confusion matrix of all places together."""

    full_state_update = False
    confusion: Tensor

    def __init__(self, statistic: Callable[[Tensor], Tensor], classes: int, **kwargs: Any) -> None:
        """Take the figure and the number of classes."""
        super().__init__(**kwargs)
        self.statistic, self.classes = statistic, classes
        self.add_state("confusion", torch.zeros(classes, classes + 1, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Integer[Tensor, "b h w"], target: Integer[Tensor, "b h w"]) -> None:
        """Add a batch of class maps."""
        self.confusion = self.confusion + confusion(prediction, target, self.classes)

    def compute(self) -> Float[Tensor, ""]:
        """The figure; nan where nothing was added."""
        return self.statistic(self.confusion)


def class_map_metrics(classes: int) -> dict[str, MetricInfo]:
    """Fresh metrics of class maps: mean intersection over union, share of places that are right."""
    return {
        "miou": MetricInfo(metric=ConfusionMatrixMetric(mean_iou, classes), unit="share", higher_is_better=True),
        "accuracy": MetricInfo(
            metric=ConfusionMatrixMetric(pixel_accuracy, classes), unit="share", higher_is_better=True
        ),
    }


class EdgeF1(Metric):
    """F1 of edge pixels over all samples together; with ``reach`` above 0 an edge counts as found that far off.

    Precision is the share of predicted edges near a true one, recall the share of true edges near a predicted one.
    """

    full_state_update = False

    def __init__(self, name: str, tolerance: int = 0, **kwargs: Any) -> None:
        """Take the name that its states are called by, and how many pixels off, diagonals included, is near."""
        super().__init__(**kwargs)
        self.name, self.tolerance = name, tolerance
        self.add_state(f"{name}_counts", torch.zeros(4, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Integer[Tensor, "b h w"], target: Integer[Tensor, "b h w"]) -> None:
        """Add a batch of maps of 0 and 1."""
        one, other = prediction > 0, target > 0
        matched_predictions, found = one & self._dilate(other), other & self._dilate(one)
        counts = torch.stack([matched_predictions.sum(), one.sum(), found.sum(), other.sum()])
        state = f"{self.name}_counts"
        setattr(self, state, getattr(self, state) + counts)

    def compute(self) -> Float[Tensor, ""]:
        """F1; 1 where there was nothing to find and nothing was claimed."""
        matched_predictions, num_predicted, found, there = getattr(self, f"{self.name}_counts").double()
        if num_predicted + there == 0:
            return torch.ones_like(matched_predictions).float()
        precision, recall = matched_predictions / num_predicted.clamp(min=1), found / there.clamp(min=1)
        score: Tensor = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return score.float()

    def _dilate(self, edges: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
        if not self.tolerance:
            return edges
        width = 2 * self.tolerance + 1
        widest = torch.nn.functional.max_pool2d(edges[:, None].float(), width, stride=1, padding=self.tolerance)
        near: Tensor = widest[:, 0] > 0
        return near


def edge_metrics() -> dict[str, MetricInfo]:
    """Fresh metrics of edges: F1 pixel by pixel, and F1 where one pixel off is near enough."""
    return {
        "f1": MetricInfo(metric=EdgeF1("f1"), unit="share", higher_is_better=True),
        "f1_near": MetricInfo(metric=EdgeF1("f1_near", tolerance=1), unit="share", higher_is_better=True),
    }
