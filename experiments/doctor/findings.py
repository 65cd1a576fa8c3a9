"""What an examination finds: one record a fault, with the file that it lies in."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from experiments.doctor.samples import Sample

MAX_KEPT = 1000
"""Findings of one check and modality that are kept one by one; of the rest there is the number."""


class Severity(Enum):
    """Consequence of a finding."""

    error = "error"
    """A training stops at it, or learns from what is wrong."""
    warning = "warning"
    """A training works, but a person probably did not mean it."""
    note = "note"
    """Worth knowing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault, or one fact that a person should know."""

    severity: Severity
    check: str
    """Name of the check, such as ``unreadable``: a script can select by it."""
    message: str
    """One sentence: the file or sample, what was found, what was expected, what to do."""
    modality: str = ""
    """Name of the modality; empty where the finding concerns a whole sample or the source."""
    split: str = ""
    """Split of the sample; empty where the finding concerns no single one."""
    key: str = ""
    """Key of the sample."""
    origin: str = ""
    """The file, or the member of an archive, where the source knows it."""
    count: int = 1
    """Faults that it stands for: more than one where those beyond `MAX_KEPT` are reported together."""


class FindingLog:
    """Findings on samples, of each check and modality the first `MAX_KEPT` and the number of the rest.

    So memory does not grow with the data, however much of it is at fault.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Severity, str, str], list[Finding]] = {}
        self._rest: Counter[tuple[Severity, str, str]] = Counter()

    def add(self, finding: Finding) -> None:
        """Keep or count one finding."""
        group = finding.severity, finding.check, finding.modality
        kept = self._kept.setdefault(group, [])
        if len(kept) < MAX_KEPT:
            kept.append(finding)
        else:
            self._rest[group] += finding.count

    def __iter__(self) -> Iterator[Finding]:
        """The findings check by check, each followed by one that stands for those beyond `MAX_KEPT`."""
        for group, kept in self._kept.items():
            yield from kept
            if rest := self._rest[group]:
                severity, check, modality = group
                of_what = f"{check} of {modality}" if modality else check
                message = f"{rest:,} more of {of_what}: the first {MAX_KEPT:,} are listed one by one."
                yield Finding(severity=severity, check=check, message=message, modality=modality, count=rest)


def examples(names: list[str], most: int = 5, of: int | None = None) -> str:
    """The first of ``names``, and how many more there are of ``of``, where these are not all."""
    rest = (len(names) if of is None else of) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def sample_finding(severity: Severity, check: str, message: str, sample: Sample, name: str = "") -> Finding:
    """A finding on one sample, of one modality or of the whole."""
    origin = (
        sample.readings[name].origin if name else ", ".join(sample.readings[item].origin for item in sample.present)
    )
    return Finding(
        severity=severity,
        check=check,
        message=message,
        modality=name,
        split=sample.split,
        key=sample.key,
        origin=origin,
    )
