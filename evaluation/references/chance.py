"""Chance, of the strong kind: the best constant guess of a value, and the unigram at each position of the tokens.

A model that has learnt what is usual at each place, and nothing of the image, sits exactly at these levels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evaluation.metric_set import MetricSet, MetricValue
from evaluation.samples import EvalSplit, index_batches
from modalities.spec import Modality
from modalities.vocabulary import sentinel_token_id
from networks.batch import PaddedTokens
from networks.fourm.heads import class_indices
from networks.streams import SequenceStream, Stream, TokenStream, token_stream

PRIOR_COUNTS = tuple(10.0**power for power in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0))
"""Weights of the plain unigram, in tokens, that the positional one is smoothed with; the data chooses."""
START_SENTINEL, END_SENTINEL = sentinel_token_id(1), sentinel_token_id(2)
"""What opens and closes a sequence that is hidden whole."""


@dataclass(frozen=True, kw_only=True)
class Unigram:
    """The distribution of ids at each position of one stream; the last row stands for positions never seen."""

    log_probability: Float[Tensor, "n v"]
    """In nats, over the classes that the stream's head chooses among."""

    @classmethod
    def from_counts(cls, counts: Float[Tensor, "n v"]) -> "Unigram":
        """The smoothed distribution of counted ids.

        Counts at a position are joined by those of the plain unigram, at the weight under which each counted token is
        most likely given the others (leave-one-out likelihood). Without smoothing, one unseen token is infinitely
        wrong; with a flat prior, chance would be easier to beat than it should.
        """
        total = counts.sum(dim=0)
        unconditional = (total + 0.5) / (total.sum() + 0.5 * len(total))
        leave_one_out = (total - 1 + 0.5).clamp(min=0.5) / (total.sum() - 1 + 0.5 * len(total))
        weight = max(PRIOR_COUNTS, key=lambda prior: _leave_one_out_likelihood(counts, leave_one_out, prior))
        positional = (counts + weight * unconditional) / (counts.sum(dim=1, keepdim=True) + weight)
        return cls(log_probability=torch.cat([positional, unconditional[None]]).log().float())

    def losses(self, classes: Int[Tensor, " r"], positions: Int[Tensor, " r"]) -> Float[Tensor, " r"]:
        """Negative log-likelihood of each id at its position, in nats."""
        last = len(self.log_probability) - 1
        return -self.log_probability[positions.cpu().clamp(max=last), classes.cpu()]


def fit_unigram(stream: TokenStream, split: EvalSplit, count: int) -> Unigram:
    """The positional unigram of the first ``count`` samples: by place in grids, by target index in sequences."""
    classes = len(stream.predictable) or stream.vocab_size
    positions = stream.num_tokens + isinstance(stream, SequenceStream)
    counts = torch.zeros(positions * classes, dtype=torch.float64)
    for indices in index_batches(min(count, split.num_samples), 1024):
        column = split.tokens.read(indices, [stream.name])[stream.name]
        ids, present = _hidden_targets(column, stream)
        position = torch.arange(ids.shape[1]).expand(ids.shape)
        flat = (position * classes + class_indices(ids, stream.predictable))[present]
        counts += torch.bincount(flat, minlength=len(counts)).double()
    return Unigram.from_counts(counts.view(positions, classes))


def fit_unigrams(split: EvalSplit, count: int) -> dict[str, Unigram]:
    """The positional unigram of every stream that can be predicted."""
    return {item.name: fit_unigram(token_stream(item), split, count) for item in split.streams if item.is_target}


def chance_metrics(
    modality: Modality, training: EvalSplit, held_out: EvalSplit, count: int, batch_size: int
) -> dict[str, MetricValue]:
    """A modality's metrics on held-out values where the guess is always the typical value of the training split."""
    typical = modality.constant_baseline(training.first_values(modality.name, count))
    metric_set = MetricSet(modality)
    targets = held_out.first_values(modality.name, held_out.num_samples)
    for indices in index_batches(len(targets), batch_size):
        truth = [targets[index] for index in indices]
        metric_set.update([typical] * len(truth), truth)
    return metric_set.compute()


def _hidden_targets(column: PaddedTokens, stream: Stream) -> tuple[Int[Tensor, "b m"], Tensor]:
    """What is to be predicted of wholly hidden samples, sequences with their end, and where there is something."""
    ids, lengths = column.values.cpu(), column.lengths.cpu()
    if not isinstance(stream, SequenceStream):
        ids = ids.flatten(1)
        return ids, (lengths > 0)[:, None].expand(ids.shape)
    padded = torch.nn.functional.pad(ids, (0, 1))
    padded.scatter_(1, lengths[:, None], END_SENTINEL)
    position = torch.arange(padded.shape[1])
    return padded, (position <= lengths[:, None]) & (lengths > 0)[:, None]


def _leave_one_out_likelihood(counts: Float[Tensor, "n v"], leave_one_out: Float[Tensor, " v"], weight: float) -> float:
    """Mean log-likelihood of each counted token under the others, where the plain unigram has this weight."""
    position, kind = counts.nonzero(as_tuple=True)
    number = counts[position, kind]
    rest = counts.sum(dim=1)[position] - 1
    likelihood = (number - 1 + weight * leave_one_out[kind]) / (rest + weight)
    return float((number * likelihood.log()).sum() / number.sum().clamp(min=1))
