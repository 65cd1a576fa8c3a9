"""Generation in its plain form, kept to compare with: nothing is kept from one step to the next.

Every step embeds every token of every modality, sorts out those that are visible, and runs the encoder; a sequence's
decoder runs over all that is written; guidance is two passes, one after the other. `test_plain_generation` holds its
tokens against `networks.generation`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks.plain import Masked, PlainFourM, keep_first, take
from modalities.text import SENTINEL_0
from networks.generation.schedules import TokenSchedule, tokens_per_step
from networks.streams import Stream, StreamKind

START = SENTINEL_0 + 1


def nothing_known(streams: tuple[Stream, ...], b: int) -> dict[str, Masked]:
    """Every modality, hidden."""
    return {stream.name: _hidden(stream, b) for stream in streams}


def known_grid(ids: Int[Tensor, "b n"]) -> Masked:
    """A grid that is known whole."""
    return Masked(
        values=ids, seen=torch.ones_like(ids, dtype=torch.bool), asked=torch.zeros_like(ids, dtype=torch.bool)
    )


def known_text(nothing: Masked, ids: Int[Tensor, "b n"]) -> Masked:
    """A sequence that is known whole, in place of one of which ``nothing`` is."""
    values, seen = nothing.values.clone(), nothing.seen.clone()
    values[:, : ids.shape[1]], seen[:, : ids.shape[1]] = ids, True
    return Masked(values=values, seen=seen, asked=torch.zeros_like(seen))


@torch.no_grad()
def write_plainly(
    model: PlainFourM, batch: Mapping[str, Masked], target: str, num: int, *, encodes_once: bool = False
) -> Int[Tensor, "b num"]:
    """The likeliest ``num`` tokens of a sequence, one after another.

    Args:
        encodes_once: Spare the encoder, whose input does not change: less plain than the published loop.
    """
    part = batch[target]
    begin = part.values.shape[1] // 2
    values, seen = part.values.clone(), part.seen.clone()
    values[:, [0, begin]], seen[:, 0] = START, True
    encoded: tuple[Tensor, Tensor] | None = None
    for place in range(num):
        asked = torch.zeros_like(seen)
        asked[:, begin : begin + place + 1] = True
        now = {**batch, target: Masked(values=values, seen=seen, asked=asked)}
        if encoded is None or not encodes_once:
            encoded = _encode(model, now)
        decoded = _decode(model, now, place + 1, *encoded)[:, -1]
        values[:, begin + place + 1] = _logits(model, decoded, target).argmax(dim=-1)
    return values[:, begin + 1 : begin + 1 + num]


@torch.no_grad()
def unmask_plainly(
    model: PlainFourM, batch: Mapping[str, Masked], target: str, steps: int, guidance: float = 1.0
) -> Int[Tensor, "b n"]:
    """A grid by MaskGIT with the cosine schedule, the likeliest tokens each time."""
    part = batch[target]
    n = part.values.shape[1]
    for count in tokens_per_step(TokenSchedule.cosine, steps, n):
        part = replace(part, asked=~part.seen)
        now = {**batch, target: part}
        left = int(part.asked[0].sum())
        logits = _grid_logits(model, now, target, left)
        if guidance != 1:
            free = {
                name: item if name == target else replace(item, seen=torch.zeros_like(item.seen))
                for name, item in now.items()
            }
            without = _grid_logits(model, free, target, left)
            logits = without + guidance * (logits - without)
        likely, ids = logits.softmax(dim=-1).max(dim=-1)
        places = keep_first(part.asked, left)
        chosen = likely.argsort(dim=1, descending=True, stable=True)[:, :count]
        where = places.gather(1, chosen)
        part = replace(
            part, values=part.values.scatter(1, where, ids.gather(1, chosen)), seen=part.seen.scatter(1, where, True)
        )
    return part.values


def _grid_logits(model: PlainFourM, batch: Mapping[str, Masked], target: str, left: int) -> Float[Tensor, "b m v"]:
    return _logits(model, _decode(model, batch, left, *_encode(model, batch)), target)


def _logits(model: PlainFourM, decoded: Float[Tensor, "*rows d"], target: str) -> Float[Tensor, "*rows v"]:
    return decoded @ cast(nn.Embedding, model.heads[target]).weight.T


def _hidden(stream: Stream, b: int) -> Masked:
    width = 2 * (stream.num_tokens + 2) if stream.kind is StreamKind.sequence else stream.num_tokens
    shape = (b, width, stream.channels) if not stream.has_ids else (b, width)
    flags = torch.zeros(b, width, dtype=torch.bool)
    return Masked(
        values=torch.zeros(shape, dtype=torch.int64 if stream.has_ids else torch.float32), seen=flags, asked=flags
    )


def _encode(model: PlainFourM, batch: Mapping[str, Masked]) -> tuple[Tensor, Tensor]:
    """The context, and where it is padding."""
    x, places, seen = model.embed_inputs(dict(batch))
    kept = keep_first(seen, max(1, int(seen.sum(dim=1).max())))
    x, places = take(x, kept), take(places, kept)
    away = ~seen.gather(1, kept)
    x = (x + places).masked_fill(away[..., None], 0.0)
    for layer in model.encoder:
        x = layer(x, away[:, None])
    return (model.context_projection(model.encoder_norm(x)) + places).masked_fill(away[..., None], 0.0), away


def _decode(model: PlainFourM, batch: Mapping[str, Masked], num: int, context: Tensor, away: Tensor) -> Tensor:
    """The decoder's answer at the ``num`` places that are asked for."""
    y, asked, stream, _ = model.embed_targets(dict(batch))
    kept = keep_first(asked, num)
    hidden = model.decoder_mask(stream.gather(1, kept))
    y = take(y, kept)
    for layer in model.decoder:
        y = layer(y, hidden, context, away[:, None])
    decoded: Tensor = model.decoder_norm(y)
    return decoded
