"""A counter-based random number generator: numbers by sample, step and position, independent of the order of drawing.

A sample's numbers do not depend on other samples in its batch, nor on padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

MULTIPLIER_1, MULTIPLIER_2 = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""Multipliers of the splitmix64 finaliser (Steele et al. 2014, 'Fast splittable pseudorandom number generators')."""
GOLDEN_GAMMA = -0x61C8864680B583EB
"""Increment of splitmix64 from one number to the next."""
MANTISSA_BITS = 24
"""Random bits of a number, as many as single precision holds."""


@dataclass(frozen=True, kw_only=True)
class CounterRng:
    """The random numbers of a batch: one key for each sample."""

    keys: Int[Tensor, " b"]

    @classmethod
    def from_generator(
        cls, generator: torch.Generator, sample_ids: Sequence[int], device: torch.device
    ) -> "CounterRng":
        """A generator whose keys depend on the state of ``generator`` and on the sample's number alone."""
        seed = torch.randint(2**62, (1,), generator=generator, device=generator.device).to(device)
        return cls(keys=splitmix64(seed + GOLDEN_GAMMA * torch.tensor(list(sample_ids), device=device)))

    def select(self, rows: Int[Tensor, " r"]) -> "CounterRng":
        """The generator of the samples ``rows``."""
        return replace(self, keys=self.keys[rows])

    def uniform(self, stream: int, step: int, positions: Int[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """A number in [0, 1) for each position of each sample, in one step of one stream."""
        keys = splitmix64(
            splitmix64(self.keys + wrap_int64(GOLDEN_GAMMA * (stream + 1))) + wrap_int64(GOLDEN_GAMMA * (step + 1))
        )
        bits = splitmix64(keys[:, None] + GOLDEN_GAMMA * (positions + 1))
        return logical_shift_right(bits, 64 - MANTISSA_BITS).float() * 2.0**-MANTISSA_BITS


def splitmix64(x: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """A bijection of 64-bit integers in which each output bit depends on all bits of ``x``."""
    x = (x ^ logical_shift_right(x, 30)) * MULTIPLIER_1
    x = (x ^ logical_shift_right(x, 27)) * MULTIPLIER_2
    return x ^ logical_shift_right(x, 31)


def wrap_int64(x: int) -> int:
    """``x`` modulo 2^64, as a signed 64-bit integer."""
    return (x + 2**63) % 2**64 - 2**63


def logical_shift_right(x: Int[Tensor, "*any"], bits: int) -> Int[Tensor, "*any"]:
    """``x`` shifted right by ``bits`` with zeros filled in, unlike torch's shift of signed integers."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
