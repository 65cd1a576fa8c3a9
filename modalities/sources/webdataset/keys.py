"""The keys of many shards, made when they are read: 100 million of them take as much memory as their names do."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class ShardKeys(Sequence[str]):
    """``SHARD/KEY`` of every sample, shard by shard."""

    def __init__(self, shards: Mapping[str, NDArray[Any]]) -> None:
        """Take the keys of each shard, UTF-8, by the shard's name."""
        self._names, self._keys = list(shards), list(shards.values())
        self._starts = np.cumsum([0, *(len(keys) for keys in self._keys)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        key = bytes(self._keys[shard][number - int(self._starts[shard])]).decode()
        return f"{self._names[shard]}/{key}"
