"""What a trained model says of a target, given what its encoder has seen, and how well it does."""

from collections.abc import Sequence
from typing import Any

import torch

from evaluation.config import EvaluationConfig
from evaluation.metric_set import MetricSet
from evaluation.references.round_trip import ReferenceLevels
from evaluation.scores import WELL_FORMED, WELL_FORMED_TITLE, Score
from evaluation.tasks.cross_entropy import LossAccumulator, ModelRef
from modalities.metrics.base import FRACTION
from networks.fourm.model import Context, FourM
from networks.generation.predict import predict_values
from networks.tokenizers.codec import Codec, DecodedValues


class RouteEvaluator:
    """One modality into one other: predictions collected batch by batch."""

    def __init__(self, codec: Codec, name: str, target: str, config: EvaluationConfig, num_samples: int) -> None:
        self.codec, self.name, self.target, self.config = codec, name, target, config
        self.metric_set = MetricSet(codec.modalities[target])
        self.loss_accumulator = LossAccumulator(num_samples)
        self.well_formed = 0
        self.example_predictions: list[Any] = []

    def add(self, predicted: DecodedValues, truth: Sequence[Any]) -> None:
        """Add a batch of predictions with their ground truth."""
        self.metric_set.update(predicted.values, truth)
        self.well_formed += sum(predicted.well_formed)
        self.example_predictions += predicted.values[: max(self.config.num_pictures - len(self.example_predictions), 0)]

    def scores(self, model_ref: ModelRef, reference_levels: ReferenceLevels) -> list[Score]:
        """The target's metrics, how often the grammar was kept, and the cross-entropy."""
        count = self.metric_set.num_samples
        found = [
            Score(
                arm=model_ref.arm,
                seed=model_ref.seed,
                route=self.name,
                target=self.target,
                metric=metric,
                metric_title=metric_value.title,
                value=metric_value.value,
                unit=metric_value.unit,
                higher_is_better=metric_value.higher_is_better,
                chance=reference_levels.chance(self.target, metric),
                ceiling=reference_levels.ceiling(self.target, metric),
                num_samples=count,
            )
            for metric, metric_value in self.metric_set.compute().items()
        ]
        if not self.codec.is_dense(self.target):
            found.append(
                Score(
                    arm=model_ref.arm,
                    seed=model_ref.seed,
                    route=self.name,
                    target=self.target,
                    metric=WELL_FORMED,
                    metric_title=WELL_FORMED_TITLE,
                    value=self.well_formed / max(count, 1),
                    unit=FRACTION,
                    higher_is_better=True,
                    ceiling=reference_levels.ceiling(self.target, WELL_FORMED),
                    num_samples=count,
                )
            )
        return [*found, self.loss_accumulator.score(self.target, self.name, model_ref.arm, model_ref.seed)]


def predict_target(
    model: FourM, codec: Codec, context: Context, target: str, config: EvaluationConfig
) -> DecodedValues:
    """The model's prediction of ``target`` from an encoded context, decoded as the config says."""
    return predict_values(
        model, codec, context, target, use_argmax=target in config.argmax, max_tokens=config.max_tokens
    )


def select_rows(context: Context, row_mask: torch.Tensor) -> Context:
    """What the decoder looks at, of some samples."""
    mask = context.mask[row_mask] if context.mask is not None else None
    return Context(values=context.values[row_mask], mask=mask)
