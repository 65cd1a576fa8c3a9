"""Metrics of what a learnt tokenizer reads and gives back, row by row, where a row is only a part of a value."""

import torch
from jaxtyping import Float
from torch import Tensor

from modalities.metrics.base import RatioOfSums
from modalities.spec import MetricInfo

TokenizerRows = Float[Tensor, "rows *shape"]


def absolute_error_terms(decoded: TokenizerRows, prepared: TokenizerRows) -> tuple[Tensor, Tensor]:
    """The sum of the absolute errors, and the number of entries."""
    return (decoded.double() - prepared.double()).abs().sum(), torch.tensor(prepared.numel())


def default_reconstruction_metrics() -> dict[str, MetricInfo]:
    """Return a fresh mean absolute error, in the units of the rows: what any tokenizer can be measured by."""
    return {
        "entry_error": MetricInfo(
            metric=RatioOfSums("entry_error", absolute_error_terms), unit="prepared units", higher_is_better=False
        )
    }


def mask_iou_terms(decoded: TokenizerRows, prepared: TokenizerRows) -> tuple[Tensor, Tensor]:
    """The sum over rows of the intersection over union of two masks, and the number of rows.

    Args:
        decoded: Logits; inside from 0 on, a probability of a half.
        prepared: Shares of area; inside from a half on.
    """
    one, other = decoded.flatten(1) >= 0, prepared.flatten(1) >= 0.5
    union = (one | other).sum(1)
    # Where both are empty they agree.
    shared = torch.where(union > 0, (one & other).sum(1).double() / union.clamp(min=1), 1.0)
    return shared.sum(), torch.tensor(len(shared))


def mask_reconstruction_metrics() -> dict[str, MetricInfo]:
    """Return a fresh mean intersection over union of masks, cut at a half."""
    return {"iou": MetricInfo(metric=RatioOfSums("iou", mask_iou_terms), unit="share", higher_is_better=True)}
