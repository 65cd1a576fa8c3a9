"""Chance levels: the best constant guess of a value, and the unigram at each position of the tokens.

A model that has learned what is frequent at each position, and nothing about the sample, reaches exactly these levels.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from evaluation.metric_set import MetricSet, MetricValue
from evaluation.samples import EvalSplit, index_batches
from evaluation.unigram import Unigram
from modalities.spec import Modality
from modalities.vocabulary import sentinel_token_id
from networks.batch import PaddedTokens
from networks.fourm.heads import class_indices
from networks.streams import SequenceStream, Stream, TokenStream, token_stream

END_SENTINEL = sentinel_token_id(2)
"""Id that closes a sequence that is hidden whole."""


def fit_unigram(stream: TokenStream, split: EvalSplit, count: int) -> Unigram:
    """The unigram of the first ``count`` samples, by grid position, or by position in the hidden sequence."""
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
    """A modality's metrics on held-out values if every prediction is the constant baseline of the training split.

    Samples that lack the modality count nowhere; the metrics are NaN where either split has no value of it.
    """
    metric_set = MetricSet(modality)
    values = training.present_values(modality.name, count)
    targets = held_out.present_values(modality.name, held_out.num_samples)
    constant = modality.constant_baseline(values) if values and targets else None
    for indices in index_batches(len(targets) if values else 0, batch_size):
        truth = [targets[index] for index in indices]
        metric_set.update([constant] * len(truth), truth)
    return metric_set.compute()


def _hidden_targets(column: PaddedTokens, stream: Stream) -> tuple[Int[Tensor, "b m"], Tensor]:
    """Target ids of samples that are hidden whole, closing sentinels included, and a mask of real targets (b, m)."""
    ids, lengths = column.values.cpu(), column.lengths.cpu()
    if not isinstance(stream, SequenceStream):
        ids = ids.flatten(1)
        return ids, (lengths > 0)[:, None].expand(ids.shape)
    padded = torch.nn.functional.pad(ids, (0, 1))
    padded.scatter_(1, lengths[:, None], END_SENTINEL)
    position = torch.arange(padded.shape[1])
    return padded, (position <= lengths[:, None]) & (lengths > 0)[:, None]
