"""Samples of different lengths without the padding between them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from networks.kernels.linear import round_up_rows

MAX_PACKED_FRACTION = 0.875
"""Share of slots that hold something above which padding costs less than laying rows out for attention and back."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Samples of different lengths as rows one behind another, so that padding costs nothing but in attention.

    Linear maps, norms and MLPs take rows (r, d); attention lays them out as (b, n, d) and back.
    """

    has_row: Bool[Tensor, "b n"]
    """The slots that must have a row: those that hold something, and the first of a sample that has none."""
    slots: Int[Tensor, " r"]
    """Of each row its index into the flattened slots: those of ``kept``, and some more that make a round number."""

    @classmethod
    def from_mask(cls, valid: Bool[Tensor, "b n"]) -> "Packing | None":
        """The packing of slots of which those that hold something are ``there``; None where little would be gained.

        That is where nearly all are, and on a GPU, which would have to be waited for and wants equal shapes from step
        to step.
        """
        if valid.device.type != "cpu":
            return None
        has_row = valid.clone()
        has_row[:, 0] |= ~valid.any(dim=1)
        slots = has_row.flatten().nonzero()[:, 0]
        num_rows = round_up_rows(len(slots))
        if num_rows > MAX_PACKED_FRACTION * valid.numel():
            return None
        if num_rows > len(slots):
            slots = torch.cat([slots, (~has_row).flatten().nonzero()[: num_rows - len(slots), 0]])
        return cls(has_row=has_row, slots=slots)

    @property
    def mask(self) -> Bool[Tensor, "b 1 1 n"]:
        """True at keys that must have a row."""
        return self.has_row[:, None, None, :]

    def pack(self, padded: Shaped[Tensor, "b n ..."]) -> Shaped[Tensor, "r ..."]:
        """The rows of what is laid out in slots."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def unpack(self, rows: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "b n ..."]:
        """The rows in their slots, zeros in the others."""
        empty = rows.new_zeros(self.has_row.numel(), *rows.shape[1:])
        return empty.index_copy(0, self.slots, rows).view(*self.has_row.shape, *rows.shape[1:])


def unpack_rows(x: Float[Tensor, "*slots d"], packing: Packing | None) -> Float[Tensor, "b n d"]:
    """Rows in their slots; what is in slots already stays."""
    return x if packing is None else packing.unpack(x)


def pack_rows(x: Shaped[Tensor, "b n ..."], packing: Packing | None) -> Shaped[Tensor, "*slots"]:
    """Slots as rows where they are packed."""
    return x if packing is None else packing.pack(x)
