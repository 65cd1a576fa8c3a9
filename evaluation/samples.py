"""The samples that are measured, as values and as tokens, and what turns one into the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from modalities.spec import ValueSequence
from networks.batch import Samples
from networks.streams import Stream


@runtime_checkable
class TokenReader(Protocol):
    """Token samples by number: the token store, or anything that answers alike."""

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        """The samples ``indices`` of ``streams``, padded to the longest among them."""
        ...


@dataclass(frozen=True, kw_only=True)
class EvalSplit:
    """One split of the data: its raw values by modality, and its tokens by stream. Sample i is the same in all."""

    values: Mapping[str, ValueSequence]
    tokens: TokenReader
    streams: tuple[Stream, ...]
    """Of the tokens."""
    num_samples: int

    def first_values(self, name: str, count: int) -> list[Any]:
        """The first values of the modality ``name``."""
        column = self.values[name]
        return [column[index] for index in range(min(count, self.num_samples))]


def index_batches(count: int, size: int) -> Iterator[np.ndarray]:
    """The numbers 0 to ``count`` - 1, ``size`` at a time."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
