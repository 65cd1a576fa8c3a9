"""Prediction in the plainest form: dense modalities in one step, sequences greedily from left to right."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from networks.blocks import KeyValues
from networks.fourm import Context, FourM


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Every token of a grid, predicted at once."""

    ids: Int[Tensor, "b n"]
    """The most likely id at each place."""
    probabilities: Float[Tensor, "b n v"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """Sequences written from left to right."""

    ids: list[list[int]]
    """Tokens of each sample, without the start and the end."""
    log_probability: Float[Tensor, " b"]
    """Mean log-probability of the tokens written, the end included, in nats."""


@torch.no_grad()
def predict_dense(model: FourM, context: Context, stream: str) -> Prediction:
    """All tokens of a grid in one step, each on its own: the model's marginals.

    Args:
        context: From `FourM.encode`.
    """
    number = model.index[stream]
    n = model.streams[number].num_tokens
    b, device = len(context.values), context.values.device
    streams = torch.full((b, n), number, device=device)
    positions = torch.arange(n, device=device).expand(b, n)
    x = model.embed_targets(torch.zeros_like(streams), streams, positions)
    decoded, _ = model.step(x, model.look_at(context), context.mask, None)
    probabilities = model.logits_of(decoded, stream).softmax(dim=-1)
    return Prediction(ids=probabilities.argmax(dim=-1), probabilities=probabilities)


@torch.no_grad()
def predict_sequence(
    model: FourM, context: Context, stream: str, *, start: int, end: int, max_tokens: int | None = None
) -> Written:
    """A whole sequence, the most likely token at a time.

    Keys and values of what is written are kept, so a token costs one position, not the whole sequence again. Samples
    that have ended leave the batch.

    Args:
        context: From `FourM.encode`.
        start: Id that opens the sequence: the first sentinel.
        end: Id that closes it: the second sentinel.
        max_tokens: Longest sequence; the stream's own limit where None.
    """
    number = model.index[stream]
    limit = min(max_tokens or model.streams[number].num_tokens, model.streams[number].num_tokens)
    b, device = len(context.values), context.values.device
    written: list[list[int]] = [[] for _ in range(b)]
    total = torch.zeros(b, device=device)
    live = torch.arange(b, device=device)
    seen, past, mask = model.look_at(context), None, context.mask
    given = torch.full((b, 1), start, device=device)
    for place in range(limit + 1):
        streams = torch.full_like(given, number)
        x = model.embed_targets(given, streams, torch.full_like(given, place))
        decoded, past = model.step(x, seen, mask, past)
        best, ids = model.logits_of(decoded[:, -1], stream).log_softmax(dim=-1).max(dim=-1)
        total[live] += best
        going = (ids != end) if place < limit else torch.zeros_like(ids, dtype=torch.bool)
        for row, token in zip(live[going].tolist(), ids[going].tolist(), strict=True):
            written[row].append(token)
        if not going.any():
            break
        if not going.all():
            seen, past = [_keep(item, going) for item in seen], [_keep(item, going) for item in past]
            mask = mask[going] if mask is not None else None
            live, ids = live[going], ids[going]
        given = ids[:, None]
    lengths = torch.tensor([len(ids) + 1 for ids in written], device=device)
    return Written(ids=written, log_probability=total / lengths)


def _keep(item: KeyValues, rows: Bool[Tensor, " b"]) -> KeyValues:
    return KeyValues(key=item.key[rows], value=item.value[rows])
