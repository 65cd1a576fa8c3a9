"""Routes: one whole modality predicted from another, decoded, and measured by the target's own metrics.

Dense targets are predicted in one step and decoded from the probability-weighted mean of the code vectors, or from the
most likely codes of the modalities in `EvaluationConfig.argmax`. Sequences are generated greedily from left to right.
Each route also has the cross-entropy of the target's tokens: of a grid all tokens at once, each on its own; of a
sequence from left to right, each given the true tokens before it, closing sentinel included.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from evaluation.metric_set import MetricSet, MetricValue
from evaluation.route import Route
from evaluation.samples import index_batches
from evaluation.scores import WELL_FORMED, WELL_FORMED_TITLE, Score
from evaluation.tasks.base import Task, TaskContext, TaskResult, input_stream
from evaluation.tasks.losses import LossAccumulator, token_losses
from modalities.metrics.base import FRACTION
from networks.batch import PaddedTokens
from networks.fourm.model import Context
from networks.generation.predict import predict_values
from networks.masking.masker import select


class Routes(Task):
    """Direct routes of `EvaluationConfig.routes`."""

    name: ClassVar[str] = "routes"
    section: ClassVar[str] = "routes"

    def run(self, context: TaskContext) -> TaskResult:
        """Scores of every route whose source and target the model has."""
        result = TaskResult(scores=[])
        for source, chosen in context.config.routes.items():
            if not context.has_input(source):
                result.skipped.append(f"evaluation.routes.{source}: the model has no {source}")
                continue
            result.skipped.extend(
                f"evaluation.routes.{source}: the model predicts no {target}"
                for target in chosen
                if target not in context.targets
            )
            targets = [
                target
                for target in (chosen or context.targets)
                if target in context.targets and target != input_stream(context.model, source)
            ]
            for evaluator in measure_routes(context, source, targets):
                result.scores.extend(evaluator.scores())
                result.predictions[evaluator.route] = evaluator.example_predictions
        return result


class RouteEvaluator:
    """Metrics and losses of one route, collected batch by batch."""

    def __init__(self, context: TaskContext, route: Route) -> None:
        self.context, self.route = context, route
        self.metric_set = MetricSet(context.codec.modalities[route.target])
        self.loss_accumulator = LossAccumulator(context.num_samples)
        self.num_well_formed = 0
        self._examples: dict[int, Any] = {}

    def add(self, encoded: Context, column: PaddedTokens, indices: NDArray[Any]) -> None:
        """Predict the target of a batch and compare it with the ground truth.

        Args:
            encoded: Encoder output of everything on the route before the target.
            column: True tokens of the target.
            indices: Numbers of the samples.
        """
        context, target = self.context, self.route.target
        batch = select({target: column}, context.model.streams, inputs=[], targets=[target])
        losses = token_losses(context.model, batch, encoded, target, context.unigram(target))
        self.loss_accumulator.add(losses, indices)
        present = (column.lengths > 0).cpu().numpy()
        if not context.codec.is_dense(target):
            present &= indices < context.config.num_sequences
        if not present.any():
            return
        predicted = predict_values(
            context.model,
            context.codec,
            select_rows(encoded, torch.from_numpy(present).to(column.lengths.device)),
            target,
            use_argmax=target in context.config.argmax,
            max_tokens=context.config.max_tokens,
        )
        self.metric_set.update(
            predicted.values, [context.held_out.values[target][int(index)] for index in indices[present]]
        )
        self.num_well_formed += sum(predicted.well_formed)
        self._examples.update(
            (int(number), value)
            for number, value in zip(indices[present], predicted.values, strict=True)
            if number < context.config.num_pictures
        )

    @property
    def example_predictions(self) -> list[Any]:
        """Predictions of the first held-out samples, for pictures; None where source or target is missing."""
        config = self.context.config
        count = min(config.num_pictures, self.context.num_samples)
        if not self.context.codec.is_dense(self.route.target):
            count = min(count, config.num_sequences)
        return [self._examples.get(number) for number in range(count)]

    def scores(self) -> list[Score]:
        """The target's metrics, the rate of well-formed sequences, and the cross-entropy."""
        found = [self._score(metric, value) for metric, value in self.metric_set.compute().items()]
        if not self.context.codec.is_dense(self.route.target):
            rate = self.num_well_formed / max(self.metric_set.num_samples, 1)
            well_formed = MetricValue(value=rate, title=WELL_FORMED_TITLE, unit=FRACTION, higher_is_better=True)
            found.append(self._score(WELL_FORMED, well_formed))
        return [*found, self.loss_accumulator.score(self.route, self.context.model_ref)]

    def _score(self, metric: str, value: MetricValue) -> Score:
        levels = self.context.reference_levels
        return Score(
            arm=self.context.model_ref.arm,
            seed=self.context.model_ref.seed,
            route=self.route,
            metric=metric,
            metric_title=value.title,
            value=value.value,
            unit=value.unit,
            higher_is_better=value.higher_is_better,
            chance=levels.chance(self.route.target, metric),
            upper_bound=levels.upper_bound(self.route.target, metric),
            num_samples=self.metric_set.num_samples,
        )


@torch.no_grad()
def measure_routes(context: TaskContext, source: str, targets: Sequence[str]) -> list[RouteEvaluator]:
    """One modality into several others, in the samples that have it; it is encoded once for all of them."""
    input_name = input_stream(context.model, source)
    evaluators = [RouteEvaluator(context, Route(source=source, target=target)) for target in targets]
    for indices in index_batches(context.num_samples, context.config.batch_size):
        present = context.samples_with(input_name, indices)
        if not len(present):
            continue
        samples = context.read_tokens(present, [input_name, *targets])
        batch = select({input_name: samples[input_name]}, context.model.streams, inputs=[input_name], targets=[])
        encoded = context.model.encode(batch)
        for evaluator in evaluators:
            evaluator.add(encoded, samples[evaluator.route.target], present)
    return evaluators


def select_rows(encoded: Context, rows: Bool[Tensor, " b"] | Int[Tensor, " r"]) -> Context:
    """The encoder output of some samples."""
    mask = encoded.mask[rows] if encoded.mask is not None else None
    return Context(values=encoded.values[rows], mask=mask)
