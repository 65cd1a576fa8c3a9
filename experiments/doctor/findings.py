"""What an examination finds: one record a fault, with the file that it lies in."""

from dataclasses import dataclass
from enum import Enum

from experiments.doctor.samples import Sample


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


def examples(names: list[str], most: int = 5) -> str:
    """The first of ``names``, and how many more there are."""
    rest = len(names) - most
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
