"""Logits and losses from the decoder's output."""

from collections.abc import Mapping
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from networks.kernels.linear import head_linear, head_rows
from networks.streams import TokenStream


def output_weights(table: Float[Tensor, "v d"], predictable: tuple[int, ...]) -> Float[Tensor, "k d"]:
    """The rows of a vocabulary's ``table`` for the predictable ids; all rows if none are named."""
    return table.index_select(0, predictable_ids(predictable, table.device)) if predictable else table


@lru_cache
def predictable_ids(predictable: tuple[int, ...], device: torch.device) -> Int[Tensor, " k"]:
    """The predictable ids as a tensor on ``device``."""
    # A tensor made in inference mode could not be used in training later.
    with torch.inference_mode(mode=False):
        return torch.tensor(predictable, device=device)


def class_indices(ids: Int[Tensor, "*shape"], predictable: tuple[int, ...]) -> Int[Tensor, "*shape"]:
    """Ids as class indices of a head. Ids outside its predictable ones map to class 0."""
    if not predictable:
        return ids
    known = predictable_ids(predictable, ids.device)
    index = torch.searchsorted(known, ids).clamp(max=len(known) - 1)
    return torch.where(known[index] == ids, index, 0)


def token_cross_entropy(
    decoded: Float[Tensor, "r d"],
    targets: Int[Tensor, " r"],
    head: Float[Tensor, "k d"],
    predictable: tuple[int, ...],
) -> Float[Tensor, " r"]:
    """Cross-entropy of each row over its head's classes, in nats. Targets outside them count as class 0."""
    logits = head_linear(decoded, head).float()
    return F.cross_entropy(logits, class_indices(targets, predictable), reduction="none")


def stream_losses(
    decoded: Float[Tensor, "slots d"],
    targets: Int[Tensor, " slots"],
    rows: Mapping[str, Int[Tensor, " _"]],
    streams: Mapping[str, TokenStream],
    tables: Mapping[str, Tensor],
) -> dict[str, Float[Tensor, ""]]:
    """The mean cross-entropy of each stream's targets, in nats.

    Streams that share a head go through it together: one product, and one gradient of its weights.

    Args:
        rows: The slots that have a target, by stream.
        tables: The rows of every vocabulary.
    """
    heads: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name in rows:
        heads.setdefault((streams[name].vocabulary, streams[name].predictable), []).append(name)
    parts, sizes = [], []
    for names in heads.values():
        slots = torch.cat([rows[name] for name in names])
        # Copies of the last row bring the number of rows to a round one; their losses are left out.
        padding = slots[-1:].expand(head_rows(len(slots), decoded.shape[1]) - len(slots))
        parts += [slots, padding]
        sizes.append([*(len(rows[name]) for name in names), len(padding)])
    order = torch.cat(parts)
    features, labels = (x.index_select(0, order).split([sum(slots) for slots in sizes]) for x in (decoded, targets))
    losses: dict[str, Tensor] = {}
    for number, ((vocabulary, predictable), names) in enumerate(heads.items()):
        head = output_weights(tables[vocabulary], predictable)
        per_token = token_cross_entropy(features[number], labels[number], head, predictable)
        losses.update({name: slots.mean() for name, slots in zip(names, per_token.split(sizes[number]), strict=False)})
    return {name: losses[name] for name in rows}
