"""What each modality's values are: counts, shapes, types and ranges, beside what the modality declares."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.doctor.findings import MAX_KEPT, Finding, FindingLog, Severity, examples, sample_finding
from experiments.doctor.samples import Reading, Sample
from modalities.layouts import Dense
from modalities.spec import Modality, SequenceModality


@dataclass(kw_only=True)
class ColumnSummary:
    """One modality in one split."""

    modality: str
    split: str
    present: int = 0
    """Samples that have the modality."""
    missing: int = 0
    """Samples that lack it."""
    missing_keys: list[str] = field(default_factory=list)
    """The first `MAX_KEPT` of them."""
    unreadable: int = 0
    """Samples whose value cannot be used."""
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    """Shapes of arrays before cropping, and how many samples have each."""
    types: Counter[str] = field(default_factory=Counter)
    """Types of values, of arrays those of their numbers."""
    low: float | None = None
    """Lowest finite number of all arrays."""
    high: float | None = None
    """Highest finite number."""
    bytes: int = 0
    """Bytes of all values at the run's scale."""

    @property
    def num_read(self) -> int:
        """Samples that were read."""
        return self.present + self.missing

    def add(self, key: str, reading: Reading, num_bytes: int) -> None:
        """Count one sample."""
        if not reading.is_stored:
            self.missing += 1
            if self.missing <= MAX_KEPT:
                self.missing_keys.append(key)
            return
        self.present += 1
        self.unreadable += reading.value is None
        self.bytes += num_bytes
        for value in reading.stored[:1]:
            is_array = isinstance(value, np.ndarray)
            self.types[str(value.dtype) if is_array else type(value).__name__] += 1
            if is_array:
                self.shapes[value.shape] += 1
                self._widen(value)

    def _widen(self, array: NDArray[Any]) -> None:
        if array.dtype.kind not in "biuf":
            return
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
        if finite.size:
            low, high = float(finite.min()), float(finite.max())
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)


class ColumnCheck:
    """Counts and ranges; unreadable files; values that a tokenizer cannot tell apart."""

    name = "columns"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.modalities = modalities
        self.summaries: dict[tuple[str, str], ColumnSummary] = {}
        self._found = FindingLog()

    def observe(self, sample: Sample) -> None:
        """Count one sample."""
        for name, reading in sample.readings.items():
            summary = self.summaries.setdefault((name, sample.split), ColumnSummary(modality=name, split=sample.split))
            summary.add(sample.key, reading, value_bytes(self.modalities[name], reading.value))
            for line in reading.corrections:
                self._found.add(sample_finding(Severity.warning, "corrected", line, sample, name))
            if reading.problem:
                self._found.add(sample_finding(Severity.error, "unreadable", reading.problem, sample, name))
            elif reading.value is not None and (lost := lost_range(self.modalities[name], reading.value)):
                message = (
                    f"{reading.origin}: all numbers, {lost[0]:g} to {lost[1]:g}, are one and the same to the tokenizer "
                    f"({self.modalities[name].normalization}): check their unit."
                )
                self._found.add(sample_finding(Severity.warning, "range", message, sample, name))

    def findings(self) -> Iterator[Finding]:
        """Unreadable values, maps outside the range of their tokenizer, modalities that no sample has."""
        yield from self._found
        for name in self.modalities:
            own = [item for (owner, _), item in self.summaries.items() if owner == name]
            if own and not any(item.present for item in own):
                message = f"No sample that was read has {name}: leave it out, or correct its folder's name."
                yield Finding(severity=Severity.error, check="absent", message=message, modality=name)
                continue
            for item in own:
                if item.missing:
                    message = (
                        f"{name} is missing in {item.missing:,} of {item.num_read:,} samples of "
                        f"{item.split}: {examples(item.missing_keys, of=item.missing)}."
                    )
                    yield Finding(
                        severity=Severity.note, check="missing", message=message, modality=name, split=item.split
                    )


def value_bytes(modality: Modality, value: Any) -> int:
    """Bytes that a value takes in a run's raw shards; 0 where it is missing."""
    if value is None:
        return 0
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    return len(json.dumps(modality.to_json(value))) + 1 if isinstance(modality, SequenceModality) else 0


def lost_range(modality: Modality, value: Any) -> tuple[float, float] | None:
    """The lowest and highest number of a map whose differing numbers are all the same after `Modality.preprocess`.

    None for maps of which something is left, and for modalities that are no maps of measured numbers.
    """
    if not isinstance(modality.layout, Dense) or modality.is_discrete:
        return None
    raw, rows = _finite(np.asarray(value)), _finite(modality.preprocess(value))
    if not raw.size or not rows.size or raw.min() == raw.max() or rows.min() < rows.max():
        return None
    return float(raw.min()), float(raw.max())


def _finite(array: NDArray[Any]) -> NDArray[Any]:
    return array[np.isfinite(array)] if array.dtype.kind == "f" else array.ravel()
