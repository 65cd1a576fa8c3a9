"""Metrics of the rows that a learned tokenizer reads and gives back, where a row is only a part of a value."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.metrics.base import FRACTION, RatioOfSums, collect

TokenizerRows = Float[Tensor, "rows *shape"]


class ReconstructionError(RatioOfSums):
    """Mean absolute error of the entries of rows, which any tokenizer can be measured by."""

    higher_is_better = False
    title, unit = "entry error", "preprocessed units"

    def terms(self, prediction: TokenizerRows, target: TokenizerRows) -> tuple[Tensor, int]:
        """Sum and number of the absolute errors."""
        return (prediction.double() - target.double()).abs().sum(), target.numel()


class MaskIoU(RatioOfSums):
    """Mean intersection over union of masks: logits, inside from 0 on, and fractions of area, inside from a half on."""

    higher_is_better = True
    title, unit = "iou", FRACTION

    def terms(self, prediction: TokenizerRows, target: TokenizerRows) -> tuple[Tensor, int]:
        """Sum over rows, number of rows. Two empty masks agree."""
        one, other = prediction.flatten(1) >= 0, target.flatten(1) >= 0.5
        union = (one | other).sum(1)
        ious = torch.where(union > 0, (one & other).sum(1).double() / union.clamp(min=1), 1.0)
        return ious.sum(), len(ious)


def default_reconstruction_metrics() -> MetricCollection:
    """A fresh mean absolute error, in the units of the rows."""
    return collect(entry_error=ReconstructionError())


def mask_reconstruction_metrics() -> MetricCollection:
    """A fresh mean intersection over union of masks, cut at a half."""
    return collect(iou=MaskIoU())
