"""Metrics of values in stacked tensors: depth, normals, classes, edges.

Each state is a sum over samples, so batches and processes only have to be added.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int, Integer, Num
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from modalities.metrics.base import FRACTION, RatioOfSums, collect


def _sum_and_count(values: Float[Tensor, "..."], valid: Bool[Tensor, "..."]) -> tuple[Tensor, Tensor]:
    """The sum of the values at valid places, and the number of places."""
    kept = values.double()[valid]
    return kept.sum(), valid.sum()


def is_valid_depth(depth: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """True where there is a depth: finite and above 0."""
    return depth.isfinite() & (depth > 0)


class DepthRMSE(RatioOfSums):
    """Root of the mean squared difference of depth, in metres, where the target has one."""

    higher_is_better = False
    title, unit = "RMSE", "m"

    def terms(self, prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
        """Sum of squared differences, number of places."""
        return _sum_and_count((prediction - target) ** 2, is_valid_depth(target))

    def compute(self) -> Float[Tensor, ""]:
        """The root of the mean."""
        return super().compute().sqrt()


class DepthAbsRel(RatioOfSums):
    """Mean difference of depth as a fraction of the target's (AbsRel), where it has one."""

    higher_is_better = False
    title, unit = "abs rel", FRACTION

    def terms(self, prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
        """Sum of relative differences, number of places."""
        return _sum_and_count((prediction - target).abs() / target, is_valid_depth(target))


class DepthDelta1(RatioOfSums):
    """Fraction of places at which neither depth is 1.25 times the other (delta1), where the target has one.

    A prediction of 0 or less is wrong.
    """

    higher_is_better = True
    title, unit = "delta1", FRACTION

    def terms(self, prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
        """Number of right places, number of places."""
        is_right = (prediction < 1.25 * target) & (target < 1.25 * prediction)
        return _sum_and_count(is_right.double(), is_valid_depth(target))


def depth_metrics() -> MetricCollection:
    """Fresh metrics of depth, over all places of all samples together: RMSE, AbsRel, delta1."""
    return collect(rmse=DepthRMSE(), abs_rel=DepthAbsRel(), delta1=DepthDelta1())


def angles_in_degrees(one: Float[Tensor, "*n 3"], other: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Angles between vectors of any length, in degrees; 90 where one of them is zero."""
    one, other = one.double(), other.double()
    cross = torch.linalg.vector_norm(torch.linalg.cross(one, other), dim=-1)
    dot = (one * other).sum(-1)
    found = torch.rad2deg(torch.atan2(cross, dot))
    is_zero = (one == 0).all(-1) | (other == 0).all(-1)
    return torch.where(is_zero, torch.full_like(found, 90.0), found)


class MeanAngle(RatioOfSums):
    """Mean angle between predicted and true directions, where there is a true one."""

    higher_is_better = False
    title, unit = "mean angle", "deg"

    def terms(self, prediction: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> tuple[Tensor, Tensor]:
        """Sum of angles, number of places."""
        return _sum_and_count(angles_in_degrees(prediction, target), is_direction(target))


class AngleAccuracy(RatioOfSums):
    """Fraction of places whose angle is under a limit, where the target has a direction."""

    higher_is_better = True
    unit = FRACTION
    limit: ClassVar[float]
    """In degrees."""

    def terms(self, prediction: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> tuple[Tensor, Tensor]:
        """Number of places under the limit, number of places."""
        return _sum_and_count((angles_in_degrees(prediction, target) < self.limit).double(), is_direction(target))


class AngleUnder11(AngleAccuracy):
    """Fraction of places under 11.25 degrees."""

    title, limit = "under 11.25", 11.25


class AngleUnder22(AngleAccuracy):
    """Fraction of places under 22.5 degrees."""

    title, limit = "under 22.5", 22.5


class AngleUnder30(AngleAccuracy):
    """Fraction of places under 30 degrees."""

    title, limit = "under 30", 30.0


def is_direction(vectors: Float[Tensor, "... 3"]) -> Bool[Tensor, "..."]:
    """True where there is a direction: finite and not zero."""
    return vectors.isfinite().all(-1) & (vectors != 0).any(-1)


def surface_normal_metrics() -> MetricCollection:
    """Fresh metrics of normals, over all places together: mean angle, fractions under 11.25, 22.5 and 30 degrees."""
    return collect(
        mean_angle=MeanAngle(), under_11_25=AngleUnder11(), under_22_5=AngleUnder22(), under_30=AngleUnder30()
    )


def confusion(
    prediction: Integer[Tensor, "b h w"],
    target: Integer[Tensor, "b h w"],
    classes: int,
    ignore_index: int | None = None,
) -> Int[Tensor, "classes others"]:
    """Counts of places by target class (rows) and predicted class; the last column is for what is no class.

    Places whose target is no class, or ``ignore_index``, are left out.
    """
    guess, truth = prediction.long().flatten(), target.long().flatten()
    valid = (truth >= 0) & (truth < classes)
    if ignore_index is not None:
        valid &= truth != ignore_index
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
    """A statistic of the confusion matrix of all places together."""

    full_state_update = False
    higher_is_better = True
    unit = FRACTION
    confusion: Tensor

    def __init__(self, classes: int, ignore_index: int | None = None, **kwargs: Any) -> None:
        """Take the number of classes, and the one among them that stands for no label."""
        super().__init__(**kwargs)
        self.classes, self.ignore_index = classes, ignore_index
        self.add_state("confusion", torch.zeros(classes, classes + 1, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Integer[Tensor, "b h w"], target: Integer[Tensor, "b h w"]) -> None:
        """Add a batch of class maps."""
        self.confusion = self.confusion + confusion(prediction, target, self.classes, self.ignore_index)


class MeanIoU(ConfusionMatrixMetric):
    """Mean intersection over union of the classes that occur in the targets; nan where nothing was added."""

    title = "mIoU"

    def compute(self) -> Float[Tensor, ""]:
        """The mean."""
        return mean_iou(self.confusion)


class PixelAccuracy(ConfusionMatrixMetric):
    """Fraction of places whose class is right; nan where nothing was added."""

    title = "accuracy"

    def compute(self) -> Float[Tensor, ""]:
        """The fraction."""
        return pixel_accuracy(self.confusion)


def class_map_metrics(classes: int, ignore_index: int | None = None) -> MetricCollection:
    """Fresh metrics of class maps: mean intersection over union, fraction of places that are right.

    Args:
        ignore_index: A class that stands for no label; None where each is one.
    """
    return collect(miou=MeanIoU(classes, ignore_index), accuracy=PixelAccuracy(classes, ignore_index))


class EdgeF1(Metric):
    """F1 of edge pixels over all samples together.

    Precision is the share of predicted edges near a true one, recall the share of true edges near a predicted one.
    """

    full_state_update = False
    higher_is_better = True
    title, unit = "F1", FRACTION
    tolerance: ClassVar[int] = 0
    """Largest distance of a near edge, in pixels, diagonals included."""
    counts: Tensor

    def __init__(self, **kwargs: Any) -> None:
        """Set the counts to 0."""
        super().__init__(**kwargs)
        self.add_state("counts", torch.zeros(4, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Integer[Tensor, "b h w"], target: Integer[Tensor, "b h w"]) -> None:
        """Add a batch of maps of 0 and 1."""
        one, other = prediction > 0, target > 0
        matched_predictions, found = one & self._dilate(other), other & self._dilate(one)
        counts = torch.stack([matched_predictions.sum(), one.sum(), found.sum(), other.sum()])
        self.counts = self.counts + counts

    def compute(self) -> Float[Tensor, ""]:
        """F1; 1 where there was nothing to find and nothing was claimed."""
        matched_predictions, num_predicted, found, there = self.counts.double()
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


class EdgeF1Near(EdgeF1):
    """F1 of edge pixels where one pixel off is near enough."""

    title = "F1 near"
    tolerance = 1


def edge_metrics() -> MetricCollection:
    """Fresh metrics of edges: F1 pixel by pixel, and F1 where one pixel off is near enough."""
    return collect(f1=EdgeF1(), f1_near=EdgeF1Near())
