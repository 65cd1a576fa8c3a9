"""The samples that models are measured on, as values and as tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from modalities.values import ValueSequence
from networks.batch import Samples
from networks.streams import Stream


@runtime_checkable
class TokenReader(Protocol):
    """Reads token samples by number, as the token store does."""

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        """The samples ``indices`` of ``streams``, padded to the longest among them."""
        ...


@dataclass(frozen=True, kw_only=True)
class EvalSplit:
    """One split of the data. Sample i is the same in all modalities and streams."""

    values: Mapping[str, ValueSequence]
    """By modality."""
    tokens: TokenReader
    streams: tuple[Stream, ...]
    """Streams of the tokens."""
    num_samples: int

    def first_values(self, name: str, count: int) -> list[Any]:
        """The first values of the modality ``name``."""
        column = self.values[name]
        return [column[index] for index in range(min(count, self.num_samples))]


def index_batches(count: int, size: int) -> Iterator[np.ndarray]:
    """The numbers 0 to ``count`` - 1, ``size`` at a time."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
