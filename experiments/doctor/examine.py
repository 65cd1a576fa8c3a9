"""The examination: every sample that is read goes through every check."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from experiments.doctor.classes import ClassCheck, ClassSummary
from experiments.doctor.columns import ColumnCheck, ColumnSummary
from experiments.doctor.duplicates import DuplicateCheck, PartnerCheck
from experiments.doctor.estimate import Estimate, estimate_data, estimate_model
from experiments.doctor.findings import Finding, Severity, examples
from experiments.doctor.holes import HoleCheck
from experiments.doctor.samples import ENDLESS, Sample, read_samples, select_evenly
from experiments.doctor.subject import Subject
from experiments.doctor.texts import TextCheck, TextSummary

NEEDED_SPLITS = ("train", "validation")
"""Splits that a run takes samples of."""
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
    watch: Sequence[Callable[[Sample], None]] = (),
    progress: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Read the samples of a source, and check them.

    Args:
        limit: Most samples of each split that are read, at even steps; None for all.
        watch: Functions that see every sample too.
        progress: Receives what is being read, in words.

    Raises:
        DataError: The source cannot list its samples.
    """
    source, modalities = subject.source, subject.modalities
    columns, classes = ColumnCheck(modalities), ClassCheck(modalities)
    texts = TextCheck(modalities, source.class_names)
    partners, duplicates, holes = PartnerCheck(modalities), DuplicateCheck(modalities), HoleCheck(modalities)
    checks: list[Check] = [columns, partners, duplicates, holes, classes, texts]
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
            for function in watch:
                function(sample)
    findings = [*_split_findings(subject, splits), *(item for check in checks for item in check.findings())]
    order = list(Severity)
    return Diagnosis(
        subject=subject,
        splits=tuple(splits),
        columns=tuple(columns.summaries.values()),
        classes=tuple(classes.summaries.values()),
        texts=tuple(texts.summaries.values()),
        estimate=_estimate(subject, splits, columns, texts),
        notes=(*notes, *getattr(source, "notes", ())),
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
    for split in NEEDED_SPLITS:
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


def _estimate(subject: Subject, splits: Sequence[SplitSummary], columns: ColumnCheck, texts: TextCheck) -> Estimate:
    """The estimate of a run on the config's number of samples, or without a config on all there are."""
    samples = _run_samples(subject, splits)
    parts = estimate_data(subject.modalities, samples, columns.summaries, texts.summaries, texts.vocab_size)
    model = (
        estimate_model(subject.config, subject.modalities, samples.get("train", 0), texts.vocab_size)
        if subject.has_config
        else None
    )
    return Estimate(samples=samples, modalities=parts, model=model)


def _run_samples(subject: Subject, splits: Sequence[SplitSummary]) -> dict[str, int]:
    data = subject.config.data
    wanted = {"train": data.train, "validation": data.validation}
    chosen: dict[str, int] = {}
    for split in splits:
        if split.name in wanted:
            number = wanted[split.name] if subject.has_config else None
            chosen[split.name] = number or split.samples or split.read
    return chosen
