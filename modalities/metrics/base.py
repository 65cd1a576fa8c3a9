"""Metrics that are a ratio of sums."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

BatchTerms = Callable[[Any, Any], tuple[Tensor, Tensor]]
"""What a batch of predictions and targets adds to a numerator and to a denominator."""


EMPTY_MEAN = float("nan")
"""What a mean over nothing is."""


class RatioOfSums(Metric):
    """A sum over places or samples divided by their number, in double precision; its root where asked for."""

    full_state_update = False

    def __init__(self, name: str, terms: BatchTerms, *, take_sqrt: bool = False, **kwargs: Any) -> None:
        """Take the name that its states are called by, and what a batch adds."""
        super().__init__(**kwargs)
        self.name, self.terms, self.take_sqrt = name, terms, take_sqrt
        for part in ("total", "count"):
            self.add_state(f"{name}_{part}", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Any, target: Any) -> None:
        """Add a batch, in the form that the terms take."""
        total, count = self.terms(prediction, target)
        for part, value in (("total", total), ("count", count)):
            state = f"{self.name}_{part}"
            setattr(self, state, getattr(self, state) + value.to(torch.float64))

    def compute(self) -> Float[Tensor, ""]:
        """The mean, or its root; nan where nothing was added."""
        total, count = getattr(self, f"{self.name}_total"), getattr(self, f"{self.name}_count")
        mean = torch.where(count > 0, total / count, torch.full_like(total, EMPTY_MEAN)).float()
        return mean.sqrt() if self.take_sqrt else mean
