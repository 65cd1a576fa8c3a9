"""A modality's metrics over batches of values, as plain figures."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One metric's result."""

    value: float
    unit: str
    higher_is_better: bool


class Meter:
    """Collects predictions and what is true, and answers the modality's metrics."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.measures = modality.metrics()
        self.num_samples = 0

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add pairs of values."""
        if not predictions:
            return
        guess, truth = self.modality.batch(predictions), self.modality.batch(targets)
        for measure in self.measures.values():
            measure.metric.update(guess, truth)
        self.num_samples += len(predictions)

    def figures(self) -> dict[str, Figure]:
        """Every metric by name; NaN where there was nothing to compute it from."""
        with warnings.catch_warnings():
            # A metric that saw no sample says so in a warning; here that is a NaN, which the report shows as a dash.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            return {
                name: Figure(
                    value=float(measure.metric.compute()),
                    unit=measure.unit,
                    higher_is_better=measure.higher_is_better,
                )
                for name, measure in self.measures.items()
            }
