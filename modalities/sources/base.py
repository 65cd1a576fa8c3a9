"""The contract of a data source: samples by split and key, one value a modality."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from modalities.errors import ConfigError, DataError
from modalities.spec import Modality, Value

ENDLESS = 1 << 40
"""Number of keys from which on a split counts as endless: all of its samples cannot be asked for."""


ALL_SPLITS = "all"
"""Stands for all splits of a source together, where samples are measured or written and not trained on."""


@runtime_checkable
class Source(Protocol):
    """A data set: keys of samples, and the value of each modality in a sample."""

    @property
    def name(self) -> str:
        """Short name, for messages."""

    @property
    def description(self) -> str:
        """The samples in words, in the plural: cards, reports and warnings say "1,000 <description>"."""

    @property
    def license(self) -> str:
        """Licence of the samples, as an SPDX identifier where there is one."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits; "train" and "validation" are needed for training, "test" for `fourm evaluate`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the things that its texts and boxes name; each gets a token of its own in the text vocabulary."""

    def keys(self, split: str) -> Sequence[str]:
        """The keys of a split's samples, in a fixed order; no key belongs to two splits.

        Raises:
            UnknownNameError: There is no such split.
        """

    def read(self, key: str, modality: Modality) -> Value | None:
        """The value of ``modality`` (at the run's scale) in the sample ``key``; None where the sample lacks it.

        Successive calls with one key should share their work: samples are read key by key.

        Raises:
            DataError: The source has no such modality at all (see `explain_missing`), or a file is damaged.
        """

    def explain_missing(self, modality: Modality) -> str | None:
        """One sentence on why the source has no values of ``modality`` and what to do, or None where it has them."""

    def fingerprint(self, modality: Modality) -> str:
        """A text that changes whenever a value of ``modality`` may: results made with another one are made again."""


def require_modalities(source: Source, modalities: Iterable[Modality]) -> None:
    """Check that a source has values of some modalities.

    Raises:
        DataError: It lacks one; the message says what to do.
    """
    for modality in modalities:
        problem = source.explain_missing(modality)
        if problem is not None:
            raise DataError(problem)


def split_keys_of(source: Source, split: str) -> Sequence[str]:
    """The keys of a split, or of all splits one after the other for `ALL_SPLITS`.

    Raises:
        UnknownNameError: There is no such split.
        ConfigError: All splits of an endless source are asked for.
    """
    if split != ALL_SPLITS:
        return source.keys(split)
    parts = [source.keys(name) for name in source.splits]
    if any(len(part) >= ENDLESS for part in parts):
        raise ConfigError(f"{source.name} has samples without end: choose a split.")
    return [key for part in parts for key in part]


def select_keys(source: Source, split: str, sample_indices: range) -> Sequence[str]:
    """The keys of the samples with these indices in a split.

    Raises:
        DataError: The split has fewer samples.
    """
    keys = split_keys_of(source, split)
    if sample_indices.stop > len(keys):
        raise DataError(
            f"Source {source.name!r} has {len(keys)} samples in split {split!r}, expected {sample_indices.stop}: "
            "ask for fewer."
        )
    return keys[sample_indices.start : sample_indices.stop : sample_indices.step]


def count_samples(source: Source, split: str, wanted: int | None, setting: str) -> int:
    """The number of samples to take from a split: ``wanted``, or all where that is None.

    Args:
        setting: Name of the setting that holds ``wanted``, for messages.

    Raises:
        UnknownNameError: There is no such split.
        ConfigError: All samples of an endless split are wanted.
        DataError: The split has fewer samples, or none.
    """
    available = len(split_keys_of(source, split))
    if wanted is None and available >= ENDLESS:
        raise ConfigError(f"{source.name} has samples without end: {setting} must be a number.")
    if not available:
        raise DataError(f"{source.name} has no samples in split {split!r}: give it some, or other splits.")
    if wanted is not None and wanted > available:
        raise DataError(
            f"{source.name} has {available:,} samples in split {split!r}, but {setting} is {wanted:,}: "
            f"set {setting} to at most {available}, or to null for all."
        )
    return available if wanted is None else wanted


def source_notes(source: Source) -> list[str]:
    """A line on each thing in the data that the source does not read; a source says so in ``notes``, if it has any."""
    return [str(line) for line in getattr(source, "notes", ())]


def module_digest(module: str) -> str:
    """A digest of the file that a module outside this package is written in; empty for own modules and notebooks."""
    if module.partition(".")[0] in ("modalities", "builtins", *sys.stdlib_module_names):
        return ""
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file or not Path(file).is_file():
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
