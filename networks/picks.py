"""Chosen tokens of a batch as flat lists, and the few operations on ragged rows that choosing needs."""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Chosen tokens, one entry each, in any order."""

    row: Int[Tensor, " r"]
    """Sample times number of streams, plus stream."""
    rank: Int[Tensor, " r"]
    """Which of its row's picks it is."""
    position: Int[Tensor, " r"]
    ids: Int[Tensor, " r"]
    """Token id in the encoder; in the decoder the id to predict; the place of a vector, or -1 for hidden vectors."""
    given: Int[Tensor, " r"] | None = None
    """In the decoder, the id that its slot is given."""

    @classmethod
    def cat(cls, parts: list["Picks"]) -> "Picks":
        """All parts, one behind the other."""
        names = [item.name for item in fields(cls) if getattr(parts[0], item.name) is not None]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """Rows of different lengths, one behind the other."""

    values: Int[Tensor, " r"]
    sizes: Int[Tensor, " rows"]

    @property
    def row(self) -> Int[Tensor, " r"]:
        """The row of each value."""
        return torch.repeat_interleave(self.sizes, output_size=len(self.values))

    def lists(self) -> list[list[int]]:
        """The rows as lists."""
        parts: list[list[int]] = [part.tolist() for part in self.values.split(self.sizes.tolist())]
        return parts


def ranks(sizes: Int[Tensor, " rows"], row: Int[Tensor, " r"]) -> Int[Tensor, " r"]:
    """The place of each entry in its row, where rows lie one behind the other."""
    first = sizes.cumsum(0) - sizes
    return torch.arange(len(row), device=row.device) - first.index_select(0, row)


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Where a matrix of flags is true, in row-major order."""

    flat: Int[Tensor, " r"]
    """Index into the flattened matrix."""
    row: Int[Tensor, " r"]
    column: Int[Tensor, " r"]
    rank: Int[Tensor, " r"]
    """How many flags of the row come before."""
    sizes: Int[Tensor, " rows"]
    """Flags of each row."""


def marks(flags: Bool[Tensor, "rows n"]) -> Marks:
    """Where ``flags`` is true."""
    flat = true_places(flags.flatten())
    sizes = flags.sum(dim=1)
    row = torch.repeat_interleave(sizes, output_size=len(flat))
    return Marks(flat=flat, row=row, column=flat - row * flags.shape[1], rank=ranks(sizes, row), sizes=sizes)


def true_places(flags: Bool[Tensor, " n"]) -> Int[Tensor, " r"]:
    """Indices at which ``flags`` is true, ascending."""
    if flags.device.type == "cpu":
        # Several times faster than torch's, and the masks of a batch have 100,000 flags.
        return torch.from_numpy(flags.numpy().nonzero()[0])
    return flags.nonzero()[:, 0]


def sort_rows(keys: Int[Tensor, "rows n"]) -> Int[Tensor, "rows n"]:
    """``keys`` with each row in ascending order; the argument may be overwritten."""
    if keys.device.type == "cpu":
        # In place, with vector instructions: some 15 times faster than torch's.
        keys.numpy().sort(axis=1)
        return keys
    return keys.sort(dim=1).values


def take(table: Shaped[Tensor, "..."], flat: Int[Tensor, " r"]) -> Shaped[Tensor, " r"]:
    """Entries of the flattened ``table``."""
    return table.reshape(-1).index_select(0, flat)


def random_subsets(
    num: Int[Tensor, " r"], num_places: Int[Tensor, " r"], width: int, generator: torch.Generator
) -> Bool[Tensor, "r n"]:
    """``num`` of the first ``num_places`` of ``width`` places in each row, every subset as likely as any other."""
    return random_splits(num[:, None], num_places, width, generator)[0]


def random_splits(
    num: Int[Tensor, "r k"], num_places: Int[Tensor, " r"], width: int, generator: torch.Generator
) -> list[Bool[Tensor, "r n"]]:
    """For each column of ``num`` that many of the first ``num_places`` places of a row; a later set holds the earlier."""
    bits = max(width - 1, 1).bit_length()
    keys = torch.empty((len(num), width), dtype=torch.int32, device=num.device).random_(generator=generator)
    order = torch.arange(width, dtype=torch.int32, device=num.device)
    # The place in the low bits makes keys distinct; the order depends on the random high bits.
    keys = keys.bitwise_right_shift_(bits).bitwise_left_shift_(bits).bitwise_or_(order)
    if bool((num_places < width).any()):
        keys.masked_fill_(order >= num_places[:, None], torch.iinfo(torch.int32).max)
    # The column before the first is below every key: the threshold of none.
    limits = sort_rows(F.pad(keys, (1, 0), value=-1)).gather(1, num)
    return [keys <= limit for limit in limits.split(1, dim=1)]
