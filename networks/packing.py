"""Samples of different lengths without the padding between them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from networks.linear import rounded

WORTH_PACKING = 0.875
"""Share of slots that hold something above which padding costs less than laying rows out for attention and back."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Samples of different lengths as rows one behind another, so that padding costs nothing but in attention.

    Linear maps, norms and MLPs take rows (r, d); attention lays them out as (b, n, d) and back.
    """

    kept: Bool[Tensor, "b n"]
    """The slots that must have a row: those that hold something, and the first of a sample that has none."""
    slots: Int[Tensor, " r"]
    """Of each row its index into the flattened slots: those of ``kept``, and some more that make a round number."""

    @classmethod
    def of(cls, there: Bool[Tensor, "b n"]) -> "Packing | None":
        """The packing of slots of which those that hold something are ``there``; None where little would be gained.

        That is where nearly all are, and on a GPU, which would have to be waited for and wants equal shapes from step
        to step.
        """
        if there.device.type != "cpu":
            return None
        kept = there.clone()
        kept[:, 0] |= ~there.any(dim=1)
        slots = kept.flatten().nonzero()[:, 0]
        wanted = rounded(len(slots))
        if wanted > WORTH_PACKING * there.numel():
            return None
        if wanted > len(slots):
            slots = torch.cat([slots, (~kept).flatten().nonzero()[: wanted - len(slots), 0]])
        return cls(kept=kept, slots=slots)

    @property
    def mask(self) -> Bool[Tensor, "b 1 1 n"]:
        """True at keys that must have a row."""
        return self.kept[:, None, None, :]

    def rows(self, padded: Shaped[Tensor, "b n ..."]) -> Shaped[Tensor, "r ..."]:
        """The rows of what is laid out in slots."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def padded(self, rows: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "b n ..."]:
        """The rows in their slots, zeros in the others."""
        empty = rows.new_zeros(self.kept.numel(), *rows.shape[1:])
        return empty.index_copy(0, self.slots, rows).view(*self.kept.shape, *rows.shape[1:])


def in_slots(x: Float[Tensor, "*slots d"], packing: Packing | None) -> Float[Tensor, "b n d"]:
    """Rows in their slots; what is in slots already stays."""
    return x if packing is None else packing.padded(x)


def in_rows(x: Shaped[Tensor, "b n ..."], packing: Packing | None) -> Shaped[Tensor, "*slots"]:
    """Slots as rows where they are packed."""
    return x if packing is None else packing.rows(x)
