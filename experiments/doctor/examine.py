"""The examination: every sample that is read goes through every check."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from experiments.data_source import TRAINING_SPLITS, split_sizes
from experiments.doctor.alignment import AlignmentCheck
from experiments.doctor.classes import ClassCheck, ClassSummary
from experiments.doctor.columns import ColumnCheck, ColumnSummary
from experiments.doctor.duplicates import DuplicateCheck, PartnerCheck
from experiments.doctor.estimate import Estimate, estimate_data, estimate_model
from experiments.doctor.findings import Finding, Severity, examples
from experiments.doctor.holes import HoleCheck
from experiments.doctor.samples import Sample, read_samples, select_evenly
from experiments.doctor.subject import Subject
from experiments.doctor.texts import TextCheck, TextSummary
from experiments.doctor.unread import unread_folders
from modalities.errors import UserError
from modalities.sources.base import ENDLESS, source_notes
from modalities.sources.crops import CropSource

ENDLESS_LIMIT = 64
"""Samples that are read of each split of an endless source where no limit is given."""


class Check(Protocol):
    """One question that is asked of every sample."""

    name: str

    def observe(self, sample: Sample) -> None:
        """Take one sample."""

    def findings(self) -> Iterator[Finding]:
        """The findings on all samples."""


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split."""

    name: str
    samples: int
    """Samples of the split; 0 for an unlimited number."""
    read: int
    """Samples that were read."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The result of an examination."""

    subject: Subject
    splits: tuple[SplitSummary, ...]
    columns: tuple[ColumnSummary, ...]
    classes: tuple[ClassSummary, ...]
    texts: tuple[TextSummary, ...]
    estimate: Estimate
    notes: tuple[str, ...]
    """Sentences on what was assumed and what was left out."""
    findings: tuple[Finding, ...]
    """All findings, errors first."""

    def of_severity(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(item for item in self.findings if item.severity is severity)


def examine(
    subject: Subject,
    limit: int | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Read the samples of a source, and check them.

    Args:
        limit: Most samples of each split that are read, at even steps; None for all.
        progress: Receives what is being read, in words.

    Raises:
        DataError: The source cannot list its samples.
    """
    source, modalities = subject.source, subject.modalities
    columns, classes = ColumnCheck(modalities), ClassCheck(modalities)
    texts = TextCheck(modalities, source.class_names)
    partners, duplicates, holes = PartnerCheck(modalities), DuplicateCheck(modalities), HoleCheck(modalities)
    checks: list[Check] = [columns, partners, duplicates, holes, AlignmentCheck(modalities), classes, texts]
    splits, notes = list[SplitSummary](), list(subject.notes)
    for split in source.splits:
        keys = source.keys(split)
        chosen = select_evenly(keys, _limit_of(keys, split, limit, notes))
        splits.append(SplitSummary(name=split, samples=0 if len(keys) >= ENDLESS else len(keys), read=len(chosen)))
        for number, sample in enumerate(read_samples(source, modalities, split, chosen)):
            if progress is not None and number % 16 == 0:
                progress(f"{split}: {number:,} of {len(chosen):,} samples")
            for check in checks:
                check.observe(sample)
    samples, too_few = _run_samples(subject, splits)
    findings = [
        *too_few,
        *unread_folders(subject),
        *_split_findings(subject, splits),
        *(item for check in checks for item in check.findings()),
    ]
    order = list(Severity)
    return Diagnosis(
        subject=subject,
        splits=tuple(splits),
        columns=tuple(columns.summaries.values()),
        classes=tuple(classes.summaries.values()),
        texts=tuple(texts.summaries.values()),
        estimate=_estimate(subject, samples, columns, texts),
        notes=(*notes, *source_notes(source)),
        findings=tuple(sorted(findings, key=lambda item: order.index(item.severity))),
    )


def _limit_of(keys: Sequence[str], split: str, limit: int | None, notes: list[str]) -> int | None:
    """The most samples to read of a split; what is left out is noted."""
    if len(keys) >= ENDLESS:
        chosen = ENDLESS_LIMIT if limit is None else limit
        notes.append(f"{split}: the first {chosen:,} samples were read of an unlimited number; --limit takes another.")
        return chosen
    if limit is not None and limit < len(keys):
        notes.append(f"{split}: {limit:,} of {len(keys):,} samples were read, at even steps.")
    return limit


def _split_findings(subject: Subject, splits: Sequence[SplitSummary]) -> Iterator[Finding]:
    """Splits that are missing or empty, keys that belong to two splits, and a licence that is not stated."""
    source, sizes = subject.source, {item.name: item.samples for item in splits}
    endless = {item.name for item in splits if not item.samples and item.read}
    for split in TRAINING_SPLITS:
        if not sizes.get(split) and split not in endless:
            message = f"{source.name} has no samples in split {split}, which a run needs."
            yield Finding(severity=Severity.error, check="empty_split", message=message, split=split)
    owners: dict[str, str] = {}
    for split in (name for name in sizes if name not in endless):
        shared = [key for key in source.keys(split) if owners.setdefault(key, split) != split]
        if shared:
            message = f"{source.name}: split {split} shares samples with another: {examples(shared)}."
            yield Finding(severity=Severity.error, check="shared_keys", message=message, split=split)
    if source.license == "unknown":
        message = f"{source.name} states no licence: set data.source.options.license, which models' cards repeat."
        yield Finding(severity=Severity.note, check="license", message=message)


def _estimate(subject: Subject, samples: dict[str, int], columns: ColumnCheck, texts: TextCheck) -> Estimate:
    """The estimate of a run on these numbers of samples."""
    parts = estimate_data(subject.modalities, samples, columns.summaries, texts.summaries, texts.vocab_size)
    model = (
        estimate_model(subject.config, subject.modalities, samples.get("train", 0), texts.vocab_size)
        if subject.has_run
        else None
    )
    return Estimate(samples=samples, modalities=parts, model=model)


def _run_samples(subject: Subject, splits: Sequence[SplitSummary]) -> tuple[dict[str, int], list[Finding]]:
    """Samples of each split that a run takes, and why it cannot take as many as its settings say."""
    found = {split.name: split.samples or split.read for split in splits if split.name in TRAINING_SPLITS}
    data = subject.config.data
    is_endless = any(not split.samples for split in splits)
    if not all(found.get(split) for split in TRAINING_SPLITS) or (is_endless and None in (data.train, data.validation)):
        return found, []
    source = subject.source.with_crops(data.crops) if isinstance(subject.source, CropSource) else subject.source
    try:
        return split_sizes(data, source), []
    except UserError as error:
        return found, [Finding(severity=Severity.error, check="too_few", message=str(error))]
