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

from benchmarks.plain import MaskedModality, PlainFourM, gather_tokens, select_first
from modalities.vocabulary import SENTINEL_0_ID
from networks.generation.schedules import TokenSchedule, tokens_per_step
from networks.streams import SequenceStream, Stream, TokenStream

FIRST_SENTINEL = SENTINEL_0_ID + 1


def hidden_modalities(streams: tuple[Stream, ...], b: int) -> dict[str, MaskedModality]:
    """Every modality, hidden."""
    return {stream.name: _hidden_modality(stream, b) for stream in streams}


def known_grid(ids: Int[Tensor, "b n"]) -> MaskedModality:
    """A grid that is known whole."""
    return MaskedModality(
        values=ids, visible=torch.ones_like(ids, dtype=torch.bool), target_mask=torch.zeros_like(ids, dtype=torch.bool)
    )


def known_text(hidden: MaskedModality, ids: Int[Tensor, "b n"]) -> MaskedModality:
    """A sequence that is known whole, in place of one of which ``nothing`` is."""
    values, visible = hidden.values.clone(), hidden.visible.clone()
    values[:, : ids.shape[1]], visible[:, : ids.shape[1]] = ids, True
    return MaskedModality(values=values, visible=visible, target_mask=torch.zeros_like(visible))


@torch.no_grad()
def generate_sequence_plain(
    model: PlainFourM, batch: Mapping[str, MaskedModality], target: str, num: int, *, encode_once: bool = False
) -> Int[Tensor, "b num"]:
    """The likeliest ``num`` tokens of a sequence, one after another.

    Args:
        encodes_once: Spare the encoder, whose input does not change: less plain than the published loop.
    """
    part = batch[target]
    begin = part.values.shape[1] // 2
    values, visible = part.values.clone(), part.visible.clone()
    values[:, [0, begin]], visible[:, 0] = FIRST_SENTINEL, True
    encoded: tuple[Tensor, Tensor] | None = None
    for step in range(num):
        target_mask = torch.zeros_like(visible)
        target_mask[:, begin : begin + step + 1] = True
        inputs = {**batch, target: MaskedModality(values=values, visible=visible, target_mask=target_mask)}
        if encoded is None or not encode_once:
            encoded = _encode(model, inputs)
        decoded = _decode(model, inputs, step + 1, *encoded)[:, -1]
        values[:, begin + step + 1] = _logits(model, decoded, target).argmax(dim=-1)
    return values[:, begin + 1 : begin + 1 + num]


@torch.no_grad()
def generate_grid_plain(
    model: PlainFourM, batch: Mapping[str, MaskedModality], target: str, steps: int, guidance: float = 1.0
) -> Int[Tensor, "b n"]:
    """A grid by MaskGIT with the cosine schedule, the likeliest tokens each time."""
    part = batch[target]
    n = part.values.shape[1]
    for count in tokens_per_step(TokenSchedule.cosine, steps, n):
        part = replace(part, target_mask=~part.visible)
        inputs = {**batch, target: part}
        num_hidden = int(part.target_mask[0].sum())
        logits = _grid_logits(model, inputs, target, num_hidden)
        if guidance != 1:
            unconditional_inputs = {
                name: item if name == target else replace(item, visible=torch.zeros_like(item.visible))
                for name, item in inputs.items()
            }
            unconditional = _grid_logits(model, unconditional_inputs, target, num_hidden)
            logits = unconditional + guidance * (logits - unconditional)
        confidence, ids = logits.softmax(dim=-1).max(dim=-1)
        positions = select_first(part.target_mask, num_hidden)
        chosen = confidence.argsort(dim=1, descending=True, stable=True)[:, :count]
        chosen_positions = positions.gather(1, chosen)
        part = replace(
            part,
            values=part.values.scatter(1, chosen_positions, ids.gather(1, chosen)),
            visible=part.visible.scatter(1, chosen_positions, True),
        )
    return part.values


def _grid_logits(
    model: PlainFourM, batch: Mapping[str, MaskedModality], target: str, num_hidden: int
) -> Float[Tensor, "b m v"]:
    return _logits(model, _decode(model, batch, num_hidden, *_encode(model, batch)), target)


def _logits(model: PlainFourM, decoded: Float[Tensor, "*rows d"], target: str) -> Float[Tensor, "*rows v"]:
    return decoded @ cast(nn.Embedding, model.heads[target]).weight.T


def _hidden_modality(stream: Stream, b: int) -> MaskedModality:
    width = 2 * (stream.num_tokens + 2) if isinstance(stream, SequenceStream) else stream.num_tokens
    flags = torch.zeros(b, width, dtype=torch.bool)
    values = (
        torch.zeros(b, width, dtype=torch.int64)
        if isinstance(stream, TokenStream)
        else torch.zeros(b, width, stream.channels)
    )
    return MaskedModality(values=values, visible=flags, target_mask=flags)


def _encode(model: PlainFourM, batch: Mapping[str, MaskedModality]) -> tuple[Tensor, Tensor]:
    """The context, and where it is padding."""
    x, positions, visible = model.embed_inputs(dict(batch))
    selected = select_first(visible, max(1, int(visible.sum(dim=1).max())))
    x, positions = gather_tokens(x, selected), gather_tokens(positions, selected)
    padding_mask = ~visible.gather(1, selected)
    x = (x + positions).masked_fill(padding_mask[..., None], 0.0)
    for layer in model.encoder:
        x = layer(x, padding_mask[:, None])
    return (model.context_projection(model.encoder_norm(x)) + positions).masked_fill(
        padding_mask[..., None], 0.0
    ), padding_mask


def _decode(
    model: PlainFourM, batch: Mapping[str, MaskedModality], num: int, context: Tensor, padding_mask: Tensor
) -> Tensor:
    """The decoder's answer at the ``num`` places that are asked for."""
    y, target_mask, stream, _ = model.embed_targets(dict(batch))
    selected = select_first(target_mask, num)
    hidden = model.decoder_mask(stream.gather(1, selected))
    y = gather_tokens(y, selected)
    for layer in model.decoder:
        y = layer(y, hidden, context, padding_mask[:, None])
    decoded: Tensor = model.decoder_norm(y)
    return decoded
