"""Cross-entropy of masked tokens, in nats per token.

The encoder sees `EvaluationConfig.masked_inputs` random tokens of the streams that every arm has, and of the target
itself if that is a grid. Pixels are left out if the target is the tokens of the same image, which they would reveal. A
random half of the target's positions, none of them visible, is predicted; a sequence is hidden whole.

`networks.masking.Masker` draws the masks over a list of streams that does not depend on the arm, from a seed that
depends only on the target and the chunk of `MASK_CHUNK` samples: arms with more modalities see exactly the same tokens,
at any batch size.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch

from evaluation.config import EvaluationConfig
from evaluation.route import MaskedTokens
from evaluation.samples import index_batches
from evaluation.scores import Score
from evaluation.tasks.base import Task, TaskContext, TaskResult
from evaluation.tasks.losses import LossAccumulator, token_losses
from modalities.mixtures import Mixture
from networks.device import module_device
from networks.fourm.model import FourM
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig
from networks.streams import GridStream, Stream

MASK_CHUNK = 64
"""Samples whose masks are drawn together, whatever the batch size: the draw depends on their number."""


class MaskedCrossEntropy(Task):
    """Cross-entropy of masked tokens of every target."""

    name: ClassVar[str] = "masked cross-entropy"
    section: ClassVar[str] = "cross_entropy"

    def run(self, context: TaskContext) -> TaskResult:
        """One score for each target."""
        return TaskResult(scores=[masked_cross_entropy(context, target) for target in context.targets])


@torch.no_grad()
def masked_cross_entropy(context: TaskContext, target: str) -> Score:
    """Cross-entropy of masked tokens of the stream ``target``."""
    model, config = context.model, context.config
    streams = streams_to_mask(model, target, context.common_inputs)
    masker = Masker(streams, masking_config(context.stream(target), streams, config))
    stream_index = torch.tensor([model.index[item.name] for item in streams], device=module_device(model))
    loss_accumulator = LossAccumulator(context.num_samples)
    for indices in index_batches(context.num_samples, MASK_CHUNK):
        first = int(indices[0])
        samples = context.held_out.tokens.read(indices, [item.name for item in streams])
        generator = torch.Generator().manual_seed(mask_seed(config.seed, target, first))
        for part in masker(samples, generator).split(config.batch_size):
            masked = part.to(module_device(model))
            batch = replace(
                masked, stream=stream_index[masked.stream], decoder_stream=stream_index[masked.decoder_stream]
            )
            losses = token_losses(model, batch, model.encode(batch), target, context.unigram(target))
            loss_accumulator.add(losses, np.arange(first, first + len(batch.ids)))
            first += len(batch.ids)
    return loss_accumulator.score(MaskedTokens(target=target), context.model_ref)


def common_inputs(arms: Mapping[str, Sequence[Stream]]) -> tuple[str, ...]:
    """Names of the streams that every arm has, in alphabetical order."""
    names = [{stream.name for stream in streams} for streams in arms.values()]
    return tuple(sorted(set.intersection(*names))) if names else ()


def streams_to_mask(model: FourM, target: str, common: Sequence[str]) -> tuple[Stream, ...]:
    """Streams whose tokens are masked, the same in every arm: the common ones, then the target.

    Another stream of the target's own modality is left out, as it would reveal the target.
    """
    modality = model.streams[model.index[target]].modality
    own_streams = {stream.name for stream in model.streams if stream.modality == modality}
    names = [name for name in sorted(common) if name not in own_streams]
    return tuple(model.streams[model.index[name]] for name in (*names, target))


def masking_config(target: Stream, streams: Sequence[Stream], config: EvaluationConfig) -> MaskingConfig:
    """Budgets of visible and hidden tokens: one mixture at concentration 1 that hides tokens of the target alone."""
    is_grid = isinstance(target, GridStream)
    mixture = Mixture(
        input_alpha=1.0,
        input_overrides={} if is_grid or len(streams) == 1 else {target.name: 0.0},
        target_alpha=0.0,
        target_overrides={target.name: 1.0},
    )
    num_targets = max(target.num_tokens // 2, 1) if is_grid else target.num_tokens + 2
    # Where nothing else is there to show, as much of the grid is shown as leaves the targets hidden.
    most = target.num_tokens - num_targets if is_grid and len(streams) == 1 else config.masked_inputs
    return MaskingConfig(num_inputs=min(config.masked_inputs, most), num_targets=num_targets, mixtures=[mixture])


def mask_seed(seed: int, target: str, first: int) -> int:
    """Seed of the masks of the `MASK_CHUNK` samples from number ``first`` on."""
    return zlib.crc32(f"{seed}/{target}/{first}".encode())
