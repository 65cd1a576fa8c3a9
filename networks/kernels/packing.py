"""Attention masks that also lay samples of different lengths out without the padding between them.

Linear maps, norms and MLPs take rows (r, d); attention takes slots (b, n, d). With a plain mask, or none, rows are the
same as slots.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from networks.kernels.linear import round_up_rows

MAX_PACKED_FRACTION = 0.875
"""Share of filled slots above which padding costs less than moving rows to slots and back."""


@dataclass(frozen=True, kw_only=True)
class PackedMask:
    """A mask for tokens that are rows one behind another."""

    mask: Bool[Tensor, "b 1 #m n"]
    """True where a query may attend."""
    num_slots: tuple[int, int]
    """Samples and slots of each: (b, n)."""
    slots: Int[Tensor, " r"]
    """Index of each row into the flattened slots."""

    def to_rows(self, padded: Shaped[Tensor, "b n ..."]) -> Shaped[Tensor, "r ..."]:
        """The rows of what is laid out in slots."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def to_slots(self, rows: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "b n ..."]:
        """The rows in their slots, zeros in the others."""
        b, n = self.num_slots
        empty = rows.new_zeros(b * n, *rows.shape[1:])
        return empty.index_copy(0, self.slots, rows).view(b, n, *rows.shape[1:])


AttentionMask: TypeAlias = Bool[Tensor, "#b #h #queries keys"] | PackedMask | None
"""True where a query may attend; None for everywhere."""


def key_mask(visible: Bool[Tensor, "b n"], *, pack: bool) -> AttentionMask:
    """Mask of keys, True for real tokens.

    An empty sample attends to its zero padding, so that the softmax stays finite.

    Args:
        pack: True to lay tokens out without padding where that saves time.
    """
    if pack and (slots := packed_slots(visible)) is not None:
        b, n = visible.shape
        return PackedMask(mask=_with_a_slot_each(visible)[:, None, None, :], num_slots=(b, n), slots=slots)
    return (visible | ~visible.any(dim=1, keepdim=True))[:, None, None, :]


def query_mask(valid: Bool[Tensor, "b m"], mask: Bool[Tensor, "b 1 m m"], *, pack: bool) -> AttentionMask:
    """``mask``, with a layout without the padding outside ``valid`` where ``pack`` allows it and that saves time."""
    slots = packed_slots(valid) if pack else None
    if slots is None:
        return mask
    b, m = valid.shape
    return PackedMask(mask=mask, num_slots=(b, m), slots=slots)


def packed_slots(valid: Bool[Tensor, "b n"]) -> Int[Tensor, " r"] | None:
    """Index of each row into the flattened slots; None if packing saves no time.

    Rows are the valid slots, the first slot of an empty sample, and further slots up to a round number of rows. Packing
    saves nothing if nearly all slots are valid, nor on a GPU, which it would wait for and which wants equal shapes from
    step to step.
    """
    if valid.device.type != "cpu":
        return None
    has_row = _with_a_slot_each(valid).flatten()
    slots = has_row.nonzero()[:, 0]
    num_rows = round_up_rows(len(slots))
    if num_rows > MAX_PACKED_FRACTION * valid.numel():
        return None
    if num_rows > len(slots):
        slots = torch.cat([slots, (~has_row).nonzero()[: num_rows - len(slots), 0]])
    return slots


def _with_a_slot_each(valid: Bool[Tensor, "b n"]) -> Bool[Tensor, "b n"]:
    """``valid``, and the first slot of samples that have none."""
    has_row = valid.clone()
    has_row[:, 0] |= ~valid.any(dim=1)
    return has_row


def plain_mask(mask: AttentionMask) -> Bool[Tensor, "#b #h #queries keys"] | None:
    """The mask alone, for slots."""
    return mask.mask if isinstance(mask, PackedMask) else mask


def to_rows(x: Shaped[Tensor, "b n ..."], mask: AttentionMask) -> Shaped[Tensor, "*slots"]:
    """Slots as the rows of ``mask``."""
    return mask.to_rows(x) if isinstance(mask, PackedMask) else x


def to_slots(x: Float[Tensor, "*slots d"], mask: AttentionMask) -> Float[Tensor, "b n d"]:
    """The rows of ``mask`` in their slots."""
    return mask.to_slots(x) if isinstance(mask, PackedMask) else x
