"""Splits of a source: how many samples there are, how many are read, and how many a run takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.data_source import TRAINING_SPLITS, split_sizes
from experiments.doctor.findings import Finding, Severity, examples
from experiments.doctor.subject import Subject
from modalities.errors import UserError
from modalities.sources.base import ENDLESS
from modalities.sources.crops import with_crops

ENDLESS_LIMIT = 64
"""Samples that are read of each split of an endless source where no limit is given."""


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split."""

    name: str
    samples: int
    """Samples of the split; 0 for an unlimited number."""
    read: int
    """Samples that were read."""

    @property
    def is_endless(self) -> bool:
        """True where samples are made by a program, in any number."""
        return not self.samples and self.read > 0


def limit_of(keys: Sequence[str], split: str, limit: int | None, notes: list[str]) -> int | None:
    """The most samples to read of a split; what is left out is noted."""
    if len(keys) >= ENDLESS:
        chosen = ENDLESS_LIMIT if limit is None else limit
        notes.append(f"{split}: the first {chosen:,} samples were read of an unlimited number; --limit takes another.")
        return chosen
    if limit is not None and limit < len(keys):
        notes.append(f"{split}: {limit:,} of {len(keys):,} samples were read, at even steps.")
    return limit


def split_findings(subject: Subject, splits: Sequence[SplitSummary]) -> Iterator[Finding]:
    """Splits that are missing or empty, keys that belong to two splits, and a licence that is not stated."""
    source, sizes = subject.source, {item.name: item.samples for item in splits}
    endless = {item.name for item in splits if item.is_endless}
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


def run_samples(subject: Subject, splits: Sequence[SplitSummary]) -> tuple[dict[str, int], list[Finding]]:
    """Samples of each split that a run takes, and why it cannot take as many as its settings say."""
    found = {split.name: split.samples or split.read for split in splits if split.name in TRAINING_SPLITS}
    data = subject.config.data
    is_endless = any(split.is_endless for split in splits)
    if not all(found.get(split) for split in TRAINING_SPLITS) or (is_endless and None in (data.train, data.validation)):
        return found, []
    source = with_crops(subject.source, data.crops) or subject.source
    try:
        return split_sizes(data, source), []
    except UserError as error:
        return found, [Finding(severity=Severity.error, check="too_few", message=str(error))]
