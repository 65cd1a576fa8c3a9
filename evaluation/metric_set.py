"""A modality's metrics over batches of values, as plain numbers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """Result of one metric, with its title and unit in tables."""

    value: float
    title: str
    unit: str
    higher_is_better: bool


class MetricSet:
    """The `MetricCollection` of a modality, updated with lists of values."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.metrics = modality.metrics()
        self.num_samples = 0

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add predictions and their ground truth."""
        if not predictions:
            return
        self.metrics.update(self.modality.collate(predictions), self.modality.collate(targets))
        self.num_samples += len(predictions)

    def compute(self) -> dict[str, MetricValue]:
        """Every metric by name; NaN for a metric without samples."""
        with warnings.catch_warnings():
            # torchmetrics warns of metrics without samples; they become NaN, which the report shows as a dash.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            values = self.metrics.compute()
        return {
            name: MetricValue(
                value=float(values[name]),
                title=str(metric.title),
                unit=str(metric.unit),
                higher_is_better=bool(metric.higher_is_better),
            )
            for name, metric in self.metrics.items()
        }
