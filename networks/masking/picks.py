"""Chosen tokens of a batch as flat lists, and the few operations on ragged rows that choosing needs.

Everything here is numpy on the host: choosing is many small steps over uneven rows, which numpy takes several times
faster than torch, and no token is read for it. Tokens are gathered at the end, where they are (`networks.assemble`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Chosen places, one entry each, in any order.

    What fills a place is a column of the row's tokens, or ``-1 - i``: sentinel i of a text, any hidden run of vectors.
    """

    row: Int[ndarray, " r"]
    """Sample times number of streams, plus stream."""
    rank: Int[ndarray, " r"]
    """Which of its row's picks it is."""
    position: Int[ndarray, " r"]
    token_index: Int[ndarray, " r"]
    """What the encoder sees, or the decoder is asked for."""
    decoder_input_index: Int[ndarray, " r"] | None = None
    """What the decoder is given; None for the encoder."""


def concatenate_selections(parts: list[Selection]) -> Selection:
    """All parts, one behind the other."""
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
    """Rows of different lengths, one behind the other."""

    values: Int[ndarray, " r"]
    sizes: Int[ndarray, " rows"]

    @property
    def row(self) -> Int[ndarray, " r"]:
        """The row of each value."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def index_within_row(sizes: Int[ndarray, " rows"]) -> Int[ndarray, " r"]:
    """The place of each entry in its row, where rows lie one behind the other."""
    first = sizes.cumsum() - sizes
    rank: ndarray = np.arange(sizes.sum())
    rank -= np.repeat(first, sizes)
    return rank


@dataclass(frozen=True, kw_only=True)
class FlagIndex:
    """Where a matrix of flags is true, in row-major order."""

    flat: Int[ndarray, " r"]
    """Index into the flattened matrix."""
    row: Int[ndarray, " r"]
    rank: Int[ndarray, " r"]
    """How many flags of the row come before."""
    sizes: Int[ndarray, " rows"]
    """Flags of each row."""


def flag_index(flags: Bool[ndarray, "rows n"]) -> FlagIndex:
    """Where ``flags`` is true."""
    sizes = count_per_row(flags)
    return FlagIndex(
        flat=np.flatnonzero(flags),
        row=np.repeat(np.arange(len(flags)), sizes),
        rank=index_within_row(sizes),
        sizes=sizes,
    )


def count_per_row(flags: Bool[ndarray, "*rows n"]) -> Int[ndarray, "*rows"]:
    """How many flags of each row are true."""
    # Two bytes a sum are enough for any sequence, and a quarter of the time.
    sums: ndarray = flags.sum(axis=-1, dtype=np.uint16).astype(np.int64)
    return sums


def random_bits(num: int, rng: np.random.Generator) -> Int[ndarray, " num"]:
    """Random 64-bit numbers."""
    return rng.bit_generator.random_raw(num).view(np.int64)


def random_nested_subsets(
    num: Int[ndarray, "r k"], num_positions: int, rng: np.random.Generator
) -> list[Bool[ndarray, "r n"]]:
    """For each column of ``num`` that many places of a random order of each row's; a later set holds the earlier."""
    rows = len(num)
    bits = max(num_positions - 1, 1).bit_length()
    words = random_bits((rows * num_positions + 1) // 2, rng).view(np.int32)[: rows * num_positions]
    # The place in the low bits makes keys distinct, and they are not negative; the order depends on the high bits.
    keys = (words.reshape(rows, num_positions) & np.int32(2**31 - 2**bits)) | np.arange(num_positions, dtype=np.int32)
    # The column before the first is below every key: the threshold of none.
    ordered = np.full((rows, num_positions + 1), -1, dtype=np.int32)
    ordered[:, 1:] = keys
    ordered.sort(axis=1)
    limits = np.take_along_axis(ordered, num, axis=1)
    return [keys <= limits[:, k, None] for k in range(num.shape[1])]
