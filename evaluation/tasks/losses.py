"""Losses of hidden tokens and their sums by sample.

A cross-entropy is a mean over tokens. Per sample it is the sum over the sample's tokens divided by the mean number of
tokens, so that the mean over samples equals the mean over tokens. The unigram is evaluated on the same tokens.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from evaluation.route import AnyRoute
from evaluation.scores import CROSS_ENTROPY, CROSS_ENTROPY_TITLE, Score
from evaluation.tasks.base import ModelRef
from evaluation.unigram import Unigram
from networks.batch import IGNORE, TokenBatch
from networks.fourm.heads import class_indices, predictable_ids
from networks.fourm.model import Context, FourM
from networks.streams import token_stream

LOGIT_CHUNK = 4096
"""Tokens whose logits are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class TokenLosses:
    """Loss of each hidden token of one stream, in nats."""

    model: Float[Tensor, " r"]
    chance: Float[Tensor, " r"]
    """Of the unigram."""
    sample: Int[Tensor, " r"]
    """Row of the batch."""


class LossAccumulator:
    """Sums token losses by sample."""

    def __init__(self, num_samples: int) -> None:
        self.model = torch.zeros(num_samples, dtype=torch.float64)
        self.chance = torch.zeros(num_samples, dtype=torch.float64)
        self.tokens = torch.zeros(num_samples, dtype=torch.float64)

    def add(self, losses: TokenLosses, numbers: Int[np.ndarray, " b"]) -> None:
        """Add a batch, whose samples have these numbers."""
        sample = torch.from_numpy(numbers)[losses.sample.cpu()]
        self.model.index_add_(0, sample, losses.model.double().cpu())
        self.chance.index_add_(0, sample, losses.chance.double().cpu())
        self.tokens.index_add_(0, sample, torch.ones(len(sample), dtype=torch.float64))

    def score(self, route: AnyRoute, model_ref: ModelRef) -> Score:
        """The cross-entropy, a mean over tokens, with the contribution of each sample; NaN without any token."""
        mean = self.tokens.mean()
        parts = self.model / mean
        return Score(
            arm=model_ref.arm,
            seed=model_ref.seed,
            route=route,
            metric=CROSS_ENTROPY,
            metric_title=CROSS_ENTROPY_TITLE,
            value=float(parts.mean()),
            unit="nats",
            higher_is_better=False,
            chance=float((self.chance / mean).mean()),
            num_samples=int((self.tokens > 0).sum()),
            samples=tuple(parts.tolist()) if mean else (),
        )


def token_losses(model: FourM, batch: TokenBatch, context: Context, name: str, unigram: Unigram) -> TokenLosses:
    """Loss of every target token of the stream ``name`` by the model and by the unigram, in nats.

    Target ids outside the head's vocabulary map to class 0, as in the model's training loss.
    """
    stream = token_stream(model.streams[model.index[name]])
    decoded = model.decode(batch, context)
    target_mask = (batch.targets != IGNORE) & (batch.decoder_stream == model.index[name])
    rows, targets = decoded[target_mask], class_indices(batch.targets[target_mask], stream.predictable)
    allowed_ids = predictable_ids(stream.predictable, rows.device) if stream.predictable else None
    losses = []
    for part, target in zip(torch.split(rows, LOGIT_CHUNK), torch.split(targets, LOGIT_CHUNK), strict=True):
        logits = model.stream_logits(part, name)
        losses.append(
            torch.nn.functional.cross_entropy(
                logits if allowed_ids is None else logits[:, allowed_ids], target, reduction="none"
            )
        )
    return TokenLosses(
        model=torch.cat(losses) if losses else rows.new_zeros(0),
        chance=unigram.losses(targets, batch.decoder_position[target_mask]),
        sample=target_mask.nonzero()[:, 0],
    )
