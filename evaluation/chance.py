"""Chance, of the strong kind: the best constant guess of a value, and the unigram at each position of the tokens.

A model that has learnt what is usual at each place, and nothing of the image, sits exactly at these levels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evaluation.held_out import Codecs, Split, batches
from evaluation.meter import Figure, Meter
from modalities.spec import Modality
from modalities.text import sentinel_id
from networks.batch import Column
from networks.heads import classes_of
from networks.streams import Stream, StreamKind

PRIOR_COUNTS = tuple(10.0**power for power in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0))
"""Weights of the plain unigram, in tokens, that the positional one is smoothed with; the data chooses."""
START, END = sentinel_id(1), sentinel_id(2)
"""What opens and closes a sequence that is hidden whole."""


@dataclass(frozen=True, kw_only=True)
class Unigram:
    """The distribution of ids at each position of one stream; the last row stands for positions never seen."""

    log_probability: Float[Tensor, "n v"]
    """In nats, over the classes that the stream's head chooses among."""

    @classmethod
    def of(cls, counts: Float[Tensor, "n v"]) -> "Unigram":
        """The smoothed distribution of counted ids.

        Counts at a position are joined by those of the plain unigram, at the weight under which each counted token is
        most likely given the others (leave-one-out likelihood). Without smoothing, one unseen token is infinitely
        wrong; with a flat prior, chance would be easier to beat than it should.
        """
        total = counts.sum(dim=0)
        plain = (total + 0.5) / (total.sum() + 0.5 * len(total))
        left_out = (total - 1 + 0.5).clamp(min=0.5) / (total.sum() - 1 + 0.5 * len(total))
        weight = max(PRIOR_COUNTS, key=lambda prior: _left_out_likelihood(counts, left_out, prior))
        placed = (counts + weight * plain) / (counts.sum(dim=1, keepdim=True) + weight)
        return cls(log_probability=torch.cat([placed, plain[None]]).log().float())

    def losses(self, classes: Int[Tensor, " r"], positions: Int[Tensor, " r"]) -> Float[Tensor, " r"]:
        """Negative log-likelihood of each id at its position, in nats."""
        last = len(self.log_probability) - 1
        return -self.log_probability[positions.cpu().clamp(max=last), classes.cpu()]


def unigram(stream: Stream, split: Split, count: int) -> Unigram:
    """The positional unigram of the first ``count`` samples: by place in grids, by target index in sequences."""
    classes = len(stream.predictable) or stream.vocab
    positions = stream.num_tokens + (stream.kind is StreamKind.sequence)
    counts = torch.zeros(positions * classes, dtype=torch.float64)
    for indices in batches(min(count, split.num_samples), 1024):
        column = split.tokens.columns(indices, [stream.name])[stream.name]
        ids, present = _targets(column, stream)
        place = torch.arange(ids.shape[1]).expand(ids.shape)
        flat = (place * classes + classes_of(ids, stream.predictable))[present]
        counts += torch.bincount(flat, minlength=len(counts)).double()
    return Unigram.of(counts.view(positions, classes))


def unigrams(codecs: Codecs, split: Split, count: int) -> dict[str, Unigram]:
    """The positional unigram of every stream that can be predicted."""
    return {stream.name: unigram(stream, split, count) for stream in codecs.streams if stream.is_target}


def chance_figures(
    modality: Modality, training: Split, held_out: Split, count: int, batch_size: int
) -> dict[str, Figure]:
    """A modality's metrics on held-out values where the guess is always the typical value of the training split."""
    typical = modality.typical(training.first(modality.name, count))
    meter = Meter(modality)
    targets = held_out.first(modality.name, held_out.num_samples)
    for indices in batches(len(targets), batch_size):
        truth = [targets[index] for index in indices]
        meter.update([typical] * len(truth), truth)
    return meter.figures()


def _targets(column: Column, stream: Stream) -> tuple[Int[Tensor, "b m"], Tensor]:
    """What is to be predicted of wholly hidden samples, sequences with their end, and where there is something."""
    ids, lengths = column.values.cpu(), column.lengths.cpu()
    if stream.kind is not StreamKind.sequence:
        ids = ids.flatten(1)
        return ids, (lengths > 0)[:, None].expand(ids.shape)
    padded = torch.nn.functional.pad(ids, (0, 1))
    padded.scatter_(1, lengths[:, None], END)
    place = torch.arange(padded.shape[1])
    return padded, (place <= lengths[:, None]) & (lengths > 0)[:, None]


def _left_out_likelihood(counts: Float[Tensor, "n v"], left_out: Float[Tensor, " v"], weight: float) -> float:
    """Mean log-likelihood of each counted token under the others, where the plain unigram has this weight."""
    place, kind = counts.nonzero(as_tuple=True)
    number = counts[place, kind]
    rest = counts.sum(dim=1)[place] - 1
    likelihood = (number - 1 + weight * left_out[kind]) / (rest + weight)
    return float((number * likelihood.log()).sum() / number.sum().clamp(min=1))
