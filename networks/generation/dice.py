"""Random numbers that belong to a sample, a step and a place, not to an order of drawing.

What a sample gets then depends on nothing else in its batch: neither on its neighbours nor on padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

FIRST, SECOND = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""Multipliers of the splitmix64 finaliser (Steele et al. 2014, 'Fast splittable pseudorandom number generators')."""
GOLDEN = -0x61C8864680B583EB
"""What splitmix64 adds from one number to the next."""
BITS = 24
"""Random bits of a number: what single precision holds."""


@dataclass(frozen=True, kw_only=True)
class Dice:
    """The random numbers of a batch: one key for each sample."""

    keys: Int[Tensor, " b"]

    @classmethod
    def cast(cls, generator: torch.Generator, numbers: Sequence[int], device: torch.device) -> "Dice":
        """New dice. A sample's keys follow from the generator's state and from its number alone."""
        seed = torch.randint(2**62, (1,), generator=generator, device=generator.device).to(device)
        return cls(keys=mixed(seed + GOLDEN * torch.tensor(list(numbers), device=device)))

    def among(self, rows: Int[Tensor, " r"]) -> "Dice":
        """The dice of some of the samples."""
        return replace(self, keys=self.keys[rows])

    def uniform(self, stream: int, step: int, places: Int[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """A number in [0, 1) for each place of each sample, in one step of one stream."""
        keys = mixed(mixed(self.keys + wrapped(GOLDEN * (stream + 1))) + wrapped(GOLDEN * (step + 1)))
        bits = mixed(keys[:, None] + GOLDEN * (places + 1))
        return shifted(bits, 64 - BITS).float() * 2.0**-BITS


def mixed(x: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """A bijection of 64-bit numbers, each bit of whose answer depends on all bits of ``x``."""
    x = (x ^ shifted(x, 30)) * FIRST
    x = (x ^ shifted(x, 27)) * SECOND
    return x ^ shifted(x, 31)


def wrapped(x: int) -> int:
    """``x`` as a signed 64-bit number that overflows as the device's do."""
    return (x + 2**63) % 2**64 - 2**63


def shifted(x: Int[Tensor, "*any"], bits: int) -> Int[Tensor, "*any"]:
    """``x`` moved right by ``bits``, zeros coming in, which torch's shift of signed numbers does not do."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
