"""Base of the metrics of all modalities: title and unit for tables, and ratios of sums.

A metric of a modality is a `torchmetrics.Metric` whose class says how a table shows it: ``title`` (the column's
heading), ``unit`` and torchmetrics' own ``higher_is_better``.
"""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric, MetricCollection

FRACTION = "share"
"""Unit of a value from 0 to 1, which people read in percent. Equal inputs must give the best value, 1 or 0."""


def collect(**metrics: Metric) -> MetricCollection:
    """The metrics as a collection in the order given; the first is the one that a table shows.

    `MetricCollection` sorts a dict by name. It also merges metrics whose equally named states agree after the first
    batch; that is switched off, as the sums of two different metrics can agree by chance.
    """
    collection = MetricCollection({}, compute_groups=False)
    for name, metric in metrics.items():
        collection.add_metrics({name: metric})
    return collection


class RatioOfSums(Metric):
    """A sum over places or samples divided by another: a mean, an F1, panoptic quality. Subclasses give the terms."""

    full_state_update = False
    title: str
    unit: str
    is_per_sample: ClassVar[bool] = False
    """True where predictions and targets are lists of values, of which `terms` takes a pair at a time."""
    sum_dtype: ClassVar[torch.dtype] = torch.float64
    value_if_empty: ClassVar[float] = math.nan
    """The result where the denominator is 0."""
    numerator: Tensor
    denominator: Tensor

    def __init__(self, **kwargs: Any) -> None:
        """Set both sums to 0."""
        super().__init__(**kwargs)
        for name in ("numerator", "denominator"):
            self.add_state(name, torch.zeros((), dtype=self.sum_dtype), dist_reduce_fx="sum")

    def terms(self, prediction: Any, target: Any) -> tuple[Any, Any]:
        """The summands of numerator and denominator, of a batch or, where `is_per_sample`, of one pair."""
        raise NotImplementedError

    def update(self, prediction: Any, target: Any) -> None:
        """Add a batch.

        Raises:
            ValueError: Two lists differ in length.
        """
        if not self.is_per_sample:
            self._add(*self.terms(prediction, target))
            return
        for pair in zip(prediction, target, strict=True):
            self._add(*self.terms(*pair))

    def compute(self) -> Float[Tensor, ""]:
        """The ratio of the sums, in single precision."""
        if self.denominator == 0:
            return torch.tensor(self.value_if_empty, device=self.denominator.device)
        return (self.numerator / self.denominator).float()

    def _add(self, numerator: Any, denominator: Any) -> None:
        self.numerator = self.numerator + numerator
        self.denominator = self.denominator + denominator


class SampleRatioOfSums(RatioOfSums):
    """A ratio of sums over lists of values, pair by pair, in single precision."""

    is_per_sample = True
    sum_dtype = torch.float32
