"""The examination: every sample that is read goes through every check."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from experiments.doctor.checks.classes import ClassSummary
from experiments.doctor.checks.columns import ColumnSummary
from experiments.doctor.checks.every import Checks
from experiments.doctor.checks.texts import TextSummary
from experiments.doctor.estimate import Estimate, estimate_data, estimate_model
from experiments.doctor.findings import Finding, Severity
from experiments.doctor.samples import read_samples, select_evenly
from experiments.doctor.splits import SplitSummary, limit_of, run_samples, split_findings
from experiments.doctor.subject import Subject
from experiments.doctor.unread import unread_folders
from modalities.sources.base import ENDLESS, source_notes


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

    def count(self, severity: Severity) -> int:
        """The number of faults of one severity, listed one by one or not."""
        return sum(item.count for item in self.of_severity(severity))


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
    source, absent = subject.source, _absent_modalities(subject)
    modalities = {name: item for name, item in subject.modalities.items() if name not in absent}
    subject = replace(subject, modalities=modalities)
    checks = Checks.for_modalities(modalities, source.class_names)
    splits, notes = list[SplitSummary](), list(subject.notes)
    for split in source.splits:
        keys = source.keys(split)
        chosen = select_evenly(keys, limit_of(keys, split, limit, notes))
        splits.append(SplitSummary(name=split, samples=0 if len(keys) >= ENDLESS else len(keys), read=len(chosen)))
        for number, sample in enumerate(read_samples(source, modalities, split, chosen)):
            if progress is not None and number % 16 == 0:
                progress(f"{split}: {number:,} of {len(chosen):,} samples")
            for check in checks.all:
                check.observe(sample)
    samples, too_few = run_samples(subject, splits)
    findings = [
        *absent.values(),
        *too_few,
        *unread_folders(subject),
        *split_findings(subject, splits),
        *(item for check in checks.all for item in check.findings()),
    ]
    order = list(Severity)
    return Diagnosis(
        subject=subject,
        splits=tuple(splits),
        columns=tuple(checks.columns.summaries.values()),
        classes=tuple(checks.classes.summaries.values()),
        texts=tuple(checks.texts.summaries.values()),
        estimate=_estimate(subject, samples, checks),
        notes=(*notes, *source_notes(source)),
        findings=tuple(sorted(findings, key=lambda item: order.index(item.severity))),
    )


def _absent_modalities(subject: Subject) -> dict[str, Finding]:
    """The modalities that the source has no values of at all, which are not read, and why."""
    reasons = {name: subject.source.explain_missing(item) for name, item in subject.modalities.items()}
    return {
        name: Finding(severity=Severity.error, check="absent", message=reason, modality=name)
        for name, reason in reasons.items()
        if reason is not None
    }


def _estimate(subject: Subject, samples: dict[str, int], checks: Checks) -> Estimate:
    """The estimate of a run on these numbers of samples."""
    columns, texts = checks.columns, checks.texts
    parts = estimate_data(subject.modalities, samples, columns.summaries, texts.summaries, texts.vocab_size)
    model = (
        estimate_model(subject.config, subject.modalities, samples.get("train", 0), texts.vocab_size)
        if subject.has_run
        else None
    )
    return Estimate(samples=samples, modalities=parts, model=model)
