"""The samples that models are measured on, as values and as tokens."""

import itertools
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
        """The values of the modality ``name`` in the first samples; None where a sample lacks it."""
        column = self.values[name]
        return [column[index] for index in range(min(count, self.num_samples))]

    def present_values(self, name: str, count: int) -> list[Any]:
        """The values of the modality ``name`` in those of the first ``count`` samples that have it."""
        return [value for value in self.first_values(name, count) if value is not None]

    def samples_with(self, name: str, count: int) -> list[int]:
        """Numbers of the first ``count`` samples that have the modality ``name``."""
        column = self.values[name]
        present = (number for number in range(self.num_samples) if column[number] is not None)
        return list(itertools.islice(present, count))


def index_batches(count: int, size: int) -> Iterator[np.ndarray]:
    """The numbers 0 to ``count`` - 1, ``size`` at a time."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
