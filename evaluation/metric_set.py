"""Metrics of a modality over batches of values."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """Result of one metric."""

    value: float
    unit: str
    higher_is_better: bool


class MetricSet:
    """Updates and computes all metrics of a modality."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.metrics = modality.metrics()
        self.num_samples = 0

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add predictions and their ground truth."""
        if not predictions:
            return
        predicted, truth = self.modality.collate(predictions), self.modality.collate(targets)
        for info in self.metrics.values():
            info.metric.update(predicted, truth)
        self.num_samples += len(predictions)

    def compute(self) -> dict[str, MetricValue]:
        """Every metric by name; NaN for a metric without samples."""
        with warnings.catch_warnings():
            # torchmetrics warns of metrics without samples; they become NaN, which the report shows as a dash.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            return {
                name: MetricValue(
                    value=float(info.metric.compute()),
                    unit=info.unit,
                    higher_is_better=info.higher_is_better,
                )
                for name, info in self.metrics.items()
            }
