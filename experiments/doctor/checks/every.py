"""The checks that every sample goes through."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from experiments.doctor.checks.alignment import AlignmentCheck
from experiments.doctor.checks.classes import ClassCheck
from experiments.doctor.checks.columns import ColumnCheck
from experiments.doctor.checks.duplicates import DuplicateCheck, PartnerCheck
from experiments.doctor.checks.holes import HoleCheck
from experiments.doctor.checks.texts import TextCheck
from experiments.doctor.findings import Finding
from experiments.doctor.samples import Sample
from modalities.spec import Modality


@runtime_checkable
class Check(Protocol):
    """One question that is asked of every sample."""

    name: str

    def observe(self, sample: Sample) -> None:
        """Take one sample."""

    def findings(self) -> Iterator[Finding]:
        """The findings on all samples."""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """All checks; some of them also give the tables of a diagnosis."""

    columns: ColumnCheck
    classes: ClassCheck
    texts: TextCheck
    others: tuple[Check, ...]

    @classmethod
    def for_modalities(cls, modalities: Mapping[str, Modality], class_names: Sequence[str]) -> "Checks":
        """Fresh checks of samples of these modalities.

        Args:
            class_names: Classes of the source, which get a token each in the text vocabulary.
        """
        kinds = (PartnerCheck, DuplicateCheck, HoleCheck, AlignmentCheck)
        return cls(
            columns=ColumnCheck(modalities),
            classes=ClassCheck(modalities),
            texts=TextCheck(modalities, class_names),
            others=tuple(kind(modalities) for kind in kinds),
        )

    @property
    def all(self) -> tuple[Check, ...]:
        """The checks in the order of their findings."""
        return (self.columns, *self.others, self.classes, self.texts)
