"""Numbers of samples to rows of shards, where some samples are left out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray


class SampleIndex:
    """The samples of several shards, one after the other, without those that are left out."""

    def __init__(self, counts: Sequence[int], omitted: Sequence[int] = ()) -> None:
        """Take the number of rows of each shard, and the rows that are left out, counted over all shards."""
        self._starts = np.cumsum([0, *counts], dtype=np.int64)
        rows = np.unique(np.asarray(omitted, dtype=np.int64))
        self._omitted = rows
        # The number of the first kept sample behind each omitted row: rows before it that are kept.
        self._thresholds = rows - np.arange(len(rows))

    def __len__(self) -> int:
        return int(self._starts[-1]) - len(self._omitted)

    def locate(self, samples: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """The shard of each sample, and its row in the shard.

        Raises:
            IndexError: There is no such sample.
        """
        if len(samples) and (samples.min() < 0 or samples.max() >= len(self)):
            raise IndexError(f"Samples {int(samples.min())} to {int(samples.max())} of {len(self)}.")
        rows = samples + np.searchsorted(self._thresholds, samples, side="right")
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return shards, rows - self._starts[shards]

    def kept_rows(self, shard: int) -> NDArray[np.int64] | slice:
        """The rows of a shard that are not left out; a slice of all where none is."""
        start, end = self._starts[shard], self._starts[shard + 1]
        first, last = np.searchsorted(self._omitted, [start, end])
        if first == last:
            return slice(None)
        return np.setdiff1d(np.arange(end - start), self._omitted[first:last] - start)
