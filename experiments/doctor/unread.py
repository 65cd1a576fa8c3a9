"""Folders beside those of the modalities that nothing reads: misspelt, or of a modality that is not installed."""

import difflib
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from experiments.doctor.findings import Finding, Severity
from experiments.doctor.subject import Subject
from modalities.registry import default_registry
from modalities.sources.folder.files import KNOWN_SUFFIXES, TABLE_NAMES, visible_entries
from modalities.sources.folder.source import FolderSource
from modalities.sources.remote import open_storage
from modalities.sources.splits import SPLIT_ALIASES

_LIKE = 0.7
"""Similarity of two names from which one counts as the other misspelt."""


def unread_folders(subject: Subject) -> Iterator[Finding]:
    """Folders of values that no installed modality reads; a warning where a modality's name is nearly theirs.

    Only of sources with a folder for each modality; in a folder with a table, files may lie anywhere.
    """
    source = subject.source
    if not isinstance(source, FolderSource):
        return
    options = source.config.options
    entries = visible_entries(open_storage(source.config.path, options.get("storage")).walk())
    paths = [PurePosixPath(entry.name) for entry in entries]
    if any(path.name in TABLE_NAMES for path in paths):
        return
    known = {*default_registry(), *(name.partition("/")[0] for name in options.get("columns", {}).values())}
    counts = Counter(
        folder
        for path in paths
        if path.suffix.lower() in KNOWN_SUFFIXES and (folder := _modality_folder(path)) and folder not in known
    )
    for folder, count in sorted(counts.items()):
        near = difflib.get_close_matches(folder, known, n=1, cutoff=_LIKE)
        hint = f"did you mean {near[0]!r}? " if near else ""
        message = (
            f"{source.config.path} has a folder {folder} ({count:,} files) of no installed modality, which is not "
            f"read: {hint}'data.source.options.columns={{MODALITY: {folder}}}' says whose it is."
        )
        severity = Severity.warning if near else Severity.note
        yield Finding(severity=severity, check="unread_folder", message=message, origin=folder)


def _modality_folder(path: PurePosixPath) -> str:
    """The folder of a modality that a file lies in, below its split's; empty for files that lie in none."""
    parts = path.parts[:-1]
    if parts and parts[0].lower() in SPLIT_ALIASES:
        parts = parts[1:]
    return parts[0] if parts else ""
