"""Probes: cross-entropy of one modality given another that is an input only, which shows what that input is worth."""

from typing import ClassVar

import torch

from evaluation.route import Route
from evaluation.samples import index_batches
from evaluation.scores import Score
from evaluation.tasks.base import Task, TaskContext, TaskResult, input_stream
from evaluation.tasks.losses import LossAccumulator, token_losses
from networks.masking.masker import select


class Probes(Task):
    """Probes of `EvaluationConfig.probes`."""

    name: ClassVar[str] = "probes"
    section: ClassVar[str] = "modalities"

    def run(self, context: TaskContext) -> TaskResult:
        """One score for each probe whose modalities the model has."""
        result = TaskResult(scores=[])
        for source, target in context.config.probes.items():
            missing = [source] * (source not in context.model.index) + [target] * (target not in context.targets)
            if missing:
                result.skipped.append(f"evaluation.probes.{source}: the model has no {', '.join(missing)}")
                continue
            result.scores.append(whole_cross_entropy(context, source, target))
        return result


@torch.no_grad()
def whole_cross_entropy(context: TaskContext, source: str, target: str) -> Score:
    """Cross-entropy of all tokens of ``target``, given the whole modality ``source`` and nothing else."""
    model, input_name = context.model, input_stream(context.model, source)
    loss_accumulator = LossAccumulator(context.num_samples)
    for indices in index_batches(context.num_samples, context.config.batch_size):
        present = context.samples_with(input_name, indices)
        if not len(present):
            continue
        samples = context.read_tokens(present, [input_name, target])
        batch = select(samples, model.streams, inputs=[input_name], targets=[target])
        losses = token_losses(model, batch, model.encode(batch), target, context.unigram(target))
        loss_accumulator.add(losses, present)
    return loss_accumulator.score(Route(source=source, target=target), context.model_ref)
