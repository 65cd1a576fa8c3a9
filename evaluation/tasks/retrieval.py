"""Retrieval: from queries of some modalities to the samples that they belong to, in a gallery of others.

A 4M model compares samples by the mean of its encoder's outputs, and by the global features that it predicts, as in
Bachmann et al. 2024 (arXiv:2406.09406), section 4.2. Sample i is the answer to query i; n, the size of the gallery, is
the number of held-out samples that have all modalities of query and gallery.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from evaluation.config import EvaluationConfig, RetrievalPair
from evaluation.route import Retrieval
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import Score
from evaluation.tasks.base import Task, TaskContext, TaskResult, input_stream
from evaluation.tasks.retrieval_metrics import cosine_similarity, retrieval_scores
from lightning_modules.inference.embedding import (
    ENCODER_SPACE,
    embedding_spaces,
    pooled_features,
    predicted_features,
)
from networks.batch import TokenBatch
from networks.masking.masker import select
from networks.streams import GridStream, PixelStream, Stream

EmbedSamples: TypeAlias = Callable[[Sequence[str], float, NDArray[np.int64]], Float[np.ndarray, "b d"]]
"""From modalities that are embedded together, the share of their patches that is shown, and the numbers of samples."""


class RetrievalTask(Task):
    """Pairs of `EvaluationConfig.retrieval`, in each space of a 4M model."""

    name: ClassVar[str] = "retrieval"
    section: ClassVar[str] = "retrieval"

    def run(self, context: TaskContext) -> TaskResult:
        """Scores of every pair whose modalities the model can see."""
        result = TaskResult(scores=[])
        spaces = embedding_spaces(context.model, context.codec) if context.config.retrieval else []
        streams = {name: input_stream(context.model, name) for name in context.codec.modalities}
        pairs = []
        for pair in context.config.retrieval:
            missing = [name for name in (*pair.query, *pair.gallery) if not _is_input(context, name)]
            if missing:
                result.skipped.append(
                    f"{describe_pair(pair)}: the model cannot see {', '.join(dict.fromkeys(missing))}"
                )
            else:
                pairs.append(pair)
        for space in spaces:
            usable = [pair for pair in pairs if space not in (*pair.query, *pair.gallery)]
            embed = _FourMSamples(context, streams, space)
            scores, skipped = measure_pairs(
                embed, usable, space, context.held_out, context.config, context.model_ref.arm, context.model_ref.seed
            )
            result.scores.extend(scores)
            result.skipped.extend(line for line in skipped if line not in result.skipped)
        return result


class _FourMSamples:
    """Embeds held-out samples by a 4M model."""

    def __init__(self, context: TaskContext, streams: Mapping[str, str], space: str) -> None:
        self.context, self.streams, self.space = context, streams, space

    def __call__(self, names: Sequence[str], share: float, indices: NDArray[np.int64]) -> Float[np.ndarray, "b d"]:
        context = self.context
        chosen = [self.streams[name] for name in names]
        samples = context.read_tokens(indices, chosen)
        batch = select(samples, context.model.streams, inputs=chosen, targets=[])
        batch = hide_places(batch, context.model.streams, share, indices, context.config.seed)
        if self.space == ENCODER_SPACE:
            return pooled_features(context.model, batch)
        return predicted_features(context.model, context.codec, batch, self.space)


@torch.no_grad()
def measure_pairs(
    embed: EmbedSamples,
    pairs: Sequence[RetrievalPair],
    space: str,
    held_out: EvalSplit,
    config: EvaluationConfig,
    arm: str,
    seed: int,
) -> tuple[list[Score], list[str]]:
    """Scores of every pair in one space, and one sentence for each pair that has too few samples.

    Each set of modalities is embedded once, however many pairs it is part of.
    """
    num_samples = min(config.num_samples, held_out.num_samples)
    found: dict[tuple[tuple[str, ...], float], Tensor] = {}
    scores: list[Score] = []
    skipped: list[str] = []
    for pair in pairs:
        present = has_modalities(held_out, (*pair.query, *pair.gallery), num_samples)
        if len(present) < 2:
            skipped.append(f"{describe_pair(pair)}: {len(present)} held-out samples have all of it, expected 2 or more")
            continue
        for key in ((tuple(pair.query), pair.share), (tuple(pair.gallery), 1.0)):
            if key not in found:
                parts = [embed(*key, indices) for indices in index_batches(num_samples, config.batch_size)]
                found[key] = torch.from_numpy(np.concatenate(parts))
        queries, gallery = found[tuple(pair.query), pair.share], found[tuple(pair.gallery), 1.0]
        route = Retrieval(space=space, query=tuple(pair.query), gallery=tuple(pair.gallery), share=pair.share)
        similarity = cosine_similarity(queries[present], gallery[present])
        scores += retrieval_scores(route, arm, seed, similarity, torch.arange(len(present)))
    return scores, skipped


def has_modalities(held_out: EvalSplit, names: Sequence[str], num_samples: int) -> NDArray[np.int64]:
    """The numbers of the first samples that have all of some modalities."""
    present = np.ones(num_samples, dtype=bool)
    for name in dict.fromkeys(names):
        column = held_out.values[name]
        present &= np.array([column[index] is not None for index in range(num_samples)])
    return np.flatnonzero(present)


def hide_places(
    batch: TokenBatch, streams: Sequence[Stream], share: float, indices: NDArray[np.int64], seed: int
) -> TokenBatch:
    """The batch with only a share of the tokens or patches of its grids visible, at random places.

    A place is drawn from the seed, the sample's number and the grid's number of places alone: models of different
    modalities see the same.

    Args:
        indices: Numbers of the samples.
    """
    if share == 1:
        return batch
    visible = batch.visible.clone()
    for number, stream in enumerate(streams):
        if isinstance(stream, GridStream | PixelStream):
            shown = torch.stack([shown_places(stream.num_tokens, share, seed, int(index)) for index in indices])
            places = batch.position.clamp(max=stream.num_tokens - 1)
            visible &= (batch.stream != number) | shown.to(places.device).gather(1, places)
    return replace(batch, visible=visible)


def shown_places(num_places: int, share: float, seed: int, sample: int) -> Bool[Tensor, " n"]:
    """True at the places of a grid that a sample shows: that share of them, rounded, and at least one."""
    generator = torch.Generator().manual_seed((seed << 32) + sample)
    order = torch.randperm(num_places, generator=generator)
    shown = torch.zeros(num_places, dtype=torch.bool)
    shown[order[: max(1, round(share * num_places))]] = True
    return shown


def describe_pair(pair: RetrievalPair) -> str:
    """The setting of a pair, for messages."""
    return f"evaluation.retrieval {'+'.join(pair.query)} to {'+'.join(pair.gallery)}"


def _is_input(context: TaskContext, name: str) -> bool:
    return (
        name in context.codec.modalities
        and context.has_input(name)
        and context.stream(input_stream(context.model, name)).is_input
    )
