"""Chained routes: modalities generated one after the other on the way from source to target.

Errors of the generated modalities carry over to the next step, so a chain can be worse than the direct route. Both are
measured on the same samples, and their last step is decoded in the same way; the steps between take the most likely
tokens.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from evaluation.route import Route
from evaluation.samples import index_batches
from evaluation.tasks.base import Task, TaskContext, TaskResult, input_stream
from evaluation.tasks.routes import RouteEvaluator
from networks.batch import PaddedTokens
from networks.fourm.model import Context, FourM
from networks.generation.config import GenerationConfig
from networks.generation.generate import generate
from networks.generation.inputs import ConditionInput
from networks.generation.predict import GREEDY
from networks.generation.state import encoder_batch

GREEDY_GENERATION = GenerationConfig(default=GREEDY, prompt_with_sentinel=False)


class Chains(Task):
    """Chained routes of `EvaluationConfig.chains`."""

    name: ClassVar[str] = "chains"
    section: ClassVar[str] = "chains"

    def run(self, context: TaskContext) -> TaskResult:
        """Scores of every chain whose modalities the model has."""
        result = TaskResult(scores=[])
        for source, *via, target in context.config.chains:
            route = Route(source=source, via=tuple(via), target=target)
            missing = [source] * (not context.has_input(source))
            missing += [name for name in (*via, target) if name not in context.targets]
            if missing:
                result.skipped.append(f"evaluation.chains: the model has no {', '.join(missing)} for {route}")
                continue
            evaluator = measure_chain(context, route)
            result.scores.extend(evaluator.scores())
            result.predictions[route] = evaluator.example_predictions
        return result


@torch.no_grad()
def measure_chain(context: TaskContext, route: Route) -> RouteEvaluator:
    """One chain, batch by batch."""
    input_name = input_stream(context.model, route.source)
    evaluator = RouteEvaluator(context, route)
    for indices in index_batches(context.num_samples, context.config.batch_size):
        present = context.samples_with(input_name, indices)
        if not len(present):
            continue
        samples = context.read_tokens(present, [input_name, route.target])
        encoded = _encode_generated(context.model, samples[input_name], input_name, route.via)
        evaluator.add(encoded, samples[route.target], present)
    return evaluator


def _encode_generated(model: FourM, column: PaddedTokens, input_name: str, via: Sequence[str]) -> Context:
    """Encoder output of the source and of the modalities generated from it."""
    # At temperature 0 nothing is sampled; `generate` needs a generator all the same.
    parts = generate(
        model, {input_name: ConditionInput(tokens=column)}, via, GREEDY_GENERATION, torch.Generator().manual_seed(0)
    )
    return model.encode(encoder_batch([parts], model.streams, len(column.lengths), column.lengths.device))
