"""Selected tokens of a batch as flat lists, and operations on ragged rows.

Selection is numpy on the host: many small steps over uneven rows, in which numpy is several times faster than torch.
It reads no tokens; `networks.masking.assemble` gathers them on their device.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selected tokens, one entry each, in any order.

    A token index is a column of the row's tokens, or ``-1 - i`` for sentinel i of a text, or for any hidden run of
    vectors.
    """

    row: Int[ndarray, " r"]
    """Sample times number of streams, plus stream."""
    rank: Int[ndarray, " r"]
    """Index among the selected tokens of its row."""
    position: Int[ndarray, " r"]
    token_index: Int[ndarray, " r"]
    """Token that the encoder sees or the decoder predicts."""
    decoder_input_index: Int[ndarray, " r"] | None = None
    """Token that the decoder is given; None for the encoder."""


def concatenate_selections(parts: list[Selection]) -> Selection:
    """All parts in one."""
    decoder_input_index = [part.decoder_input_index for part in parts if part.decoder_input_index is not None]
    return Selection(
        row=np.concatenate([part.row for part in parts]),
        rank=np.concatenate([part.rank for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        token_index=np.concatenate([part.token_index for part in parts]),
        decoder_input_index=np.concatenate(decoder_input_index) if decoder_input_index else None,
    )


@dataclass(frozen=True, kw_only=True)
class RaggedRows:
    """Rows of different lengths, concatenated."""

    values: Int[ndarray, " r"]
    sizes: Int[ndarray, " rows"]

    @property
    def row(self) -> Int[ndarray, " r"]:
        """The row of each value."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def index_within_row(sizes: Int[ndarray, " rows"]) -> Int[ndarray, " r"]:
    """Index of each entry within its row, for concatenated rows of these sizes."""
    first = sizes.cumsum() - sizes
    rank: ndarray = np.arange(sizes.sum())
    rank -= np.repeat(first, sizes)
    return rank


@dataclass(frozen=True, kw_only=True)
class FlagIndex:
    """True entries of a matrix of flags, in row-major order."""

    flat: Int[ndarray, " r"]
    """Index into the flattened matrix."""
    row: Int[ndarray, " r"]
    rank: Int[ndarray, " r"]
    """Number of true flags before it in its row."""
    sizes: Int[ndarray, " rows"]
    """Number of true flags of each row."""


def flag_index(flags: Bool[ndarray, "rows n"]) -> FlagIndex:
    """The true entries of ``flags``."""
    sizes = count_per_row(flags)
    return FlagIndex(
        flat=np.flatnonzero(flags),
        row=np.repeat(np.arange(len(flags)), sizes),
        rank=index_within_row(sizes),
        sizes=sizes,
    )


def count_per_row(flags: Bool[ndarray, "*rows n"]) -> Int[ndarray, "*rows"]:
    """Number of true flags of each row, up to 65,535."""
    # 16-bit sums take a quarter of the time.
    sums: ndarray = flags.sum(axis=-1, dtype=np.uint16).astype(np.int64)
    return sums


def random_bits(num: int, rng: np.random.Generator) -> Int[ndarray, " num"]:
    """Random 64-bit numbers."""
    return rng.bit_generator.random_raw(num).view(np.int64)


def random_nested_subsets(
    num: Int[ndarray, "r k"], num_positions: int, rng: np.random.Generator
) -> list[Bool[ndarray, "r n"]]:
    """For each column of ``num``, that many first places of a random order of each row; later sets contain earlier."""
    rows = len(num)
    bits = max(num_positions - 1, 1).bit_length()
    words = random_bits((rows * num_positions + 1) // 2, rng).view(np.int32)[: rows * num_positions]
    # Low bits hold the place, so that keys are distinct; the order depends on the random high bits. None is negative.
    keys = (words.reshape(rows, num_positions) & np.int32(2**31 - 2**bits)) | np.arange(num_positions, dtype=np.int32)
    # The extra column, below every key, is the threshold of an empty set.
    ordered = np.full((rows, num_positions + 1), -1, dtype=np.int32)
    ordered[:, 1:] = keys
    ordered.sort(axis=1)
    limits = np.take_along_axis(ordered, num, axis=1)
    return [keys <= limits[:, k, None] for k in range(num.shape[1])]
