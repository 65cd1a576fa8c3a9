"""Descriptions of values: type, shape, unit and range of a modality's, sequences of them, and parsed texts."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FLOAT16_MAX = 65504.0
"""Largest number of 16 bits, in which embeddings are stored."""


@dataclass(frozen=True, kw_only=True)
class ValueSpec:
    """What a value of a modality is, for checks, messages and documentation."""

    type: str
    """Python or numpy type of the value, such as ``float32`` or ``tuple of Box``."""
    shape: str = ""
    """Shape before cropping, such as ``(h, w, 3)``; empty for records and texts."""
    unit: str = ""
    """Unit or meaning of a number."""
    low: float | None = None
    """Lowest number; None where there is no limit."""
    high: float | None = None
    """Highest number."""
    missing: str = ""
    """Numbers that stand for no measurement or no label; empty where there are none."""
    files: str = ""
    """Files that `Modality.read_file` takes."""

    @property
    def range(self) -> str:
        """The range in words; empty where there is no limit."""
        match self.low, self.high:
            case None, None:
                return ""
            case low, None:
                return f"{low:g} and above"
            case None, high:
                return f"up to {high:g}"
            case low, high:
                return f"{low:g} to {high:g}"

    def __str__(self) -> str:
        """The expected value in words, for messages: type and shape, unit, range, what is missing."""
        kind = f"{self.type} {self.shape}".strip()
        parts = [kind, self.unit, f"from {self.range}" if self.range else ""]
        parts += [f"{self.missing} where there is none"] if self.missing else []
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The value that a generated text stands for."""

    value: Any
    """The value, its coded parts left out until `SequenceModality.with_decoded_parts` fills them in."""
    well_formed: bool
    """True where the text follows the modality's grammar from end to end."""
    codes: NDArray[np.int64] | None = None
    """(parts, codes) of the learned tokenizer, in the order of the value's parts."""


@runtime_checkable
class ValueSequence(Protocol):
    """One modality's raw values: an array with a row for each sample, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...
