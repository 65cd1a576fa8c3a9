"""The samples that are measured, as values and as tokens, and what turns one into the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from modalities.spec import Modality
from networks.batch import Samples
from networks.streams import Stream
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer


@runtime_checkable
class ValueSequence(Protocol):
    """One modality's raw values: an array with a row for each sample, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...


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
    num_samples: int

    def first_values(self, name: str, count: int) -> list[Any]:
        """The first values of the modality ``name``."""
        column = self.values[name]
        return [column[index] for index in range(min(count, self.num_samples))]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """What turns values into tokens and back."""

    modalities: Mapping[str, Modality]
    """Every modality of every arm, at the run's scale."""
    streams: tuple[Stream, ...]
    """Their streams."""
    tokenizers: Mapping[str, Tokenizer]
    """Trained tokenizers by the name of their task."""
    text_tokenizer: TextTokenizer | None = None

    def stream(self, name: str) -> Stream:
        """The stream of that name."""
        return next(stream for stream in self.streams if stream.name == name)

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that a model can predict, in their order."""
        return tuple(name for name, modality in self.modalities.items() if modality.is_target)


def index_batches(count: int, size: int) -> Iterator[np.ndarray]:
    """The numbers 0 to ``count`` - 1, ``size`` at a time."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
