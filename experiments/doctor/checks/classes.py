"""Classes of maps and of boxes: which are used, which are not, and which are in no list."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.doctor.findings import Finding, FindingLog, Severity, examples, sample_finding
from experiments.doctor.samples import Sample
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Dense
from modalities.spec import Modality

UNLABELLED = 255
"""Index that stands for no class in the class maps of most data sets."""


@dataclass(kw_only=True)
class ClassSummary:
    """Classes of one modality over all samples that were read."""

    modality: str
    declared: tuple[str, ...]
    """Names of the classes, of maps by index."""
    used: Counter[str] = field(default_factory=Counter)
    """Samples in which each declared class occurs."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Samples in which each class occurs that is not declared."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Samples in which each index occurs that stands for no class."""

    @property
    def unused(self) -> tuple[str, ...]:
        """Declared classes that do not occur."""
        return tuple(name for name in self.declared if name not in self.used)


class ClassCheck:
    """Class indices of maps, and class names of records that have them."""

    name = "classes"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.modalities = {name: item for name, item in modalities.items() if declared_classes(item)}
        self.summaries = {
            name: ClassSummary(modality=name, declared=declared_classes(item)) for name, item in self.modalities.items()
        }
        self._found = FindingLog()

    def observe(self, sample: Sample) -> None:
        """Count the classes of one sample."""
        for name, modality in self.modalities.items():
            for value in sample.readings[name].stored:
                found = _classes(modality, value)
                summary = self.summaries[name]
                summary.used.update(found.used)
                summary.unknown.update(found.unknown)
                summary.ignored.update(found.ignored)
                if found.unknown:
                    self._found.add(self._unknown(sample, name, found.unknown))

    def findings(self) -> Iterator[Finding]:
        """Classes that are in no list, then classes that no sample has."""
        yield from self._found
        for name, summary in self.summaries.items():
            if summary.used and summary.unused and _is_map(self.modalities[name]):
                message = f"{name}: no sample that was read has {examples(list(summary.unused))}."
                yield Finding(severity=Severity.note, check="unused_class", message=message, modality=name)

    def _unknown(self, sample: Sample, name: str, unknown: list[str]) -> Finding:
        modality = self.modalities[name]
        declared = declared_classes(modality)
        if _is_map(modality):
            expected = f"0 to {len(declared) - 1}, or {UNLABELLED} for no class"
        else:
            expected = f"one of {examples(list(declared))}"
        message = f"{sample.readings[name].origin}: {name} has the class {examples(unknown)}, expected {expected}."
        return sample_finding(Severity.error, "unknown_class", message, sample, name)


@dataclass(frozen=True, kw_only=True)
class _FoundClasses:
    used: list[str]
    unknown: list[str]
    ignored: list[str]


def declared_classes(modality: Modality) -> tuple[str, ...]:
    """Names of the classes of a map's values or a record's parts; empty for modalities without classes."""
    if _is_map(modality):
        return tuple(getattr(modality, "classes", ()))
    return () if isinstance(modality, FreeTextModality) else tuple(getattr(modality, "class_names", ()))


def _is_map(modality: Modality) -> bool:
    return isinstance(modality.layout, Dense) and modality.layout.categorical


def _classes(modality: Modality, value: Any) -> _FoundClasses:
    declared = declared_classes(modality)
    if not _is_map(modality):
        names = sorted({part.class_name for part in value})
        return _FoundClasses(
            used=[name for name in names if name in declared],
            unknown=[name for name in names if name not in declared],
            ignored=[],
        )
    ignored_index = getattr(modality, "ignore_index", None)
    indices: list[int] = np.unique(value).tolist()
    ignored = [index for index in indices if index in (UNLABELLED, ignored_index)]
    known = [index for index in indices if index < len(declared) and index not in ignored]
    return _FoundClasses(
        used=[declared[index] for index in known],
        unknown=[str(index) for index in indices if index not in known and index not in ignored],
        ignored=[str(index) for index in ignored],
    )
