"""A modality's metrics over batches of values, as plain figures."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """One metric's result."""

    value: float
    unit: str
    higher_is_better: bool


class MetricSet:
    """Collects predictions and what is true, and answers the modality's metrics."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.metrics = modality.metrics()
        self.num_samples = 0

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add pairs of values."""
        if not predictions:
            return
        predicted, truth = self.modality.collate(predictions), self.modality.collate(targets)
        for info in self.metrics.values():
            info.metric.update(predicted, truth)
        self.num_samples += len(predictions)

    def compute(self) -> dict[str, MetricValue]:
        """Every metric by name; NaN where there was nothing to compute it from."""
        with warnings.catch_warnings():
            # A metric that saw no sample says so in a warning; here that is a NaN, which the report shows as a dash.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            return {
                name: MetricValue(
                    value=float(info.metric.compute()),
                    unit=info.unit,
                    higher_is_better=info.higher_is_better,
                )
                for name, info in self.metrics.items()
            }
