"""Measures one model by every task."""

import torch

from evaluation.tasks.base import Task, TaskContext, TaskResult
from evaluation.tasks.chains import Chains
from evaluation.tasks.cross_entropy import MaskedCrossEntropy
from evaluation.tasks.probes import Probes
from evaluation.tasks.retrieval import RetrievalTask
from evaluation.tasks.routes import Routes

TASKS: tuple[Task, ...] = (Routes(), Chains(), MaskedCrossEntropy(), Probes(), RetrievalTask())
"""Every task, in the order of their scores."""


@torch.no_grad()
def measure_model(context: TaskContext) -> TaskResult:
    """Scores and example predictions of one model by every task, and what it could not be measured by."""
    was_training = context.model.training
    context.model.eval()
    result = TaskResult(scores=[])
    for task in TASKS:
        part = task.run(context)
        result.scores.extend(part.scores)
        result.predictions.update(part.predictions)
        result.skipped.extend(part.skipped)
    context.model.train(was_training)
    return result
