"""Where one modality's values lie in a folder: in files of their own, or in a column of a table."""

import contextlib
import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from modalities.errors import DataError
from modalities.sources.cells import stored_content
from modalities.sources.folder.files import FolderPart
from modalities.sources.folder.table import MetadataTable
from modalities.sources.remote import FileEntry, Storage
from modalities.sources.stored import Stored, StoredFile
from modalities.spec import Modality

VALUE_COLUMN = "value"
"""Entry of a line of a modality's .jsonl that holds the value; the sample's key is in ``key``."""


@dataclass(frozen=True, kw_only=True)
class FileColumn:
    """A file for each sample."""

    files: Mapping[str, FileEntry]

    def sample_keys(self) -> Iterable[str]:
        """Samples that have a file."""
        return self.files

    def stored(self, key: str, modality: Modality, storage: Storage) -> Stored | None:
        """The file of a sample."""
        return open_stored(storage, self.files[key].name, modality) if key in self.files else None

    def digest(self, modality: Modality, storage: Storage) -> str:
        """A digest of names, sizes and versions."""
        facts = sorted((key, entry.name, entry.size, entry.version) for key, entry in self.files.items())
        return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of a table."""

    table: MetadataTable
    column: str
    part: FolderPart
    """The folder of the table, in which the files lie that it names."""
    entry: FileEntry
    """The table's file."""

    def sample_keys(self) -> Iterable[str]:
        """Samples that have a row."""
        return self.table.rows

    def stored(self, key: str, modality: Modality, storage: Storage) -> Stored | None:
        """The cell of a sample, or the file that it names."""

        def open_file(name: str) -> Stored:
            return open_stored(storage, self._file_name(name), modality)

        return self.table.stored(key, modality, self.column, open_file)

    def digest(self, modality: Modality, storage: Storage) -> str:
        """A digest of the cells (of a Parquet table its size and version), and of the files that they name."""
        if self.entry.name.endswith(".parquet"):
            facts: list[Any] = [self.column, self.entry.size, self.entry.version]
        else:
            facts = list(self.table.columns[self.column])
        versions = FileVersions(storage, {entry.name: entry for entry in self.part.entries.values()})
        names = map(self._file_name, self.table.named_files(modality, self.column))
        facts = [facts, [(name, versions.of(name)) for name in names]]
        return hashlib.sha256(repr((facts, list(self.table.rows))).encode("utf-8", "surrogatepass")).hexdigest()

    def _file_name(self, cell: str) -> str:
        """The file that a cell names, below the storage's root, or absolute on this machine."""
        name = cell.strip()
        return posixpath.normpath(name if posixpath.isabs(name) else f"{self.part.prefix}{name}")


class FileVersions:
    """Size and version of files: of those that were listed from the list, of others from the storage."""

    def __init__(self, storage: Storage, listed: Mapping[str, FileEntry]) -> None:
        """Take the files that were listed, by their names below the storage's root."""
        self._storage, self._listed = storage, dict(listed)
        self._walked: set[str] = set()

    def of(self, name: str) -> tuple[int, str] | None:
        """Size and version, or None where there is no such file."""
        path = Path(name) if posixpath.isabs(name) else self._storage.local_path(name)
        if name not in self._listed and path is not None:
            try:
                facts = path.stat()
            except (OSError, ValueError):
                return None
            return facts.st_size, str(facts.st_mtime_ns)
        folder = posixpath.dirname(name)
        if name not in self._listed and folder not in self._walked:
            self._walked.add(folder)
            with contextlib.suppress(DataError):
                self._listed |= {entry.name: entry for entry in self._storage.walk(folder)}
        entry = self._listed.get(name)
        return None if entry is None else (entry.size, entry.version)


Column: TypeAlias = FileColumn | TableColumn


def open_stored(storage: Storage, name: str, modality: Modality) -> Stored:
    """A file of a storage: by its path where it lies on this machine, else by its content."""
    path = Path(name) if Path(name).is_absolute() else storage.local_path(name)
    suffix = PurePosixPath(name).suffix
    if path is not None and suffix.lower() != ".npz":
        return StoredFile(path=path)
    return stored_content(storage.read(name), suffix, modality, storage.origin(name))


def lines_column(table: MetadataTable, folder: str) -> str | None:
    """The column of values in a modality's .jsonl: `VALUE_COLUMN`, or the modality's own name; None without one."""
    return next((name for name in (VALUE_COLUMN, folder) if name in table.columns), None)
