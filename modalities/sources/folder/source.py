"""The ``folder`` source: samples of a folder, by files that are aligned by name, or by a metadata table."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.sources.config import SourceConfig
from modalities.sources.folder.columns import Column, FileColumn, TableColumn, lines_column
from modalities.sources.folder.files import (
    LINES_SUFFIX,
    FolderPart,
    modality_files,
    split_folders,
    visible_entries,
)
from modalities.sources.folder.table import MetadataTable, read_table
from modalities.sources.remote import open_storage
from modalities.sources.splits import SPLIT_OPTIONS, shuffle_keys, split_keys, unlisted_keys
from modalities.sources.stored import Stored, StoredBytes, StoredFile, StoredSource, StoredValue
from modalities.spec import Modality, SequenceModality


class FolderSource(StoredSource):
    """One folder for each modality, aligned by the path below it without the type, or one metadata table.

    A sample is there where one of the run's modalities has a file or a row of it; the others may be missing.

    Options:
        columns: Folder, .jsonl or column of each modality that has another name: ``{rgb: images, caption: text}``.
        splits: Shares or lists of keys (`modalities.sources.splits`); folders train/, validation/, test/ need none.
        group: Regular expression of the part of a key whose samples stay in one split.
        storage: Arguments of fsspec's file system, where the path is a URL.
    """

    kind = "folder"
    known_options = ("columns", *SPLIT_OPTIONS, "storage")

    def __init__(self, config: SourceConfig, modalities: Mapping[str, Modality]) -> None:
        """Take the settings; the folder is listed when it is first asked for.

        Raises:
            ConfigError: There is no path, or columns are not named in a mapping.
        """
        super().__init__(config, modalities)
        if not config.path:
            raise ConfigError("The source folder needs a path: data.source.path=photos.")
        columns = config.options.get("columns", {})
        if not isinstance(columns, Mapping) or not all(isinstance(value, str) for value in columns.values()):
            raise ConfigError(f"options.columns must map modalities to folders or columns, got {columns!r}.")
        self._names: dict[str, str] = {str(name): value for name, value in columns.items()}
        self._storage = open_storage(config.path, config.options.get("storage"))
        self._unknown: Counter[str] = Counter()
        self._columns: dict[tuple[str, str], Column | None] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self._keys)

    @property
    def notes(self) -> list[str]:
        """A line on each thing in the folder that is not read."""
        # Columns are looked for, and files of unknown types counted, when keys are made.
        names = [key for part in self._parts for key in self._part_keys(part)]
        lines = []
        if self._beside:
            lines.append(
                f"{self.name}: not read, as they lie beside the folders of splits: {len(self._beside)} files, such as "
                f"{self._beside[0]!r}."
            )
        if self._unknown:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(self._unknown.items()))
            lines.append(
                f"{self.name}: not read, as they are of no known type: {self._unknown.total()} files ({kinds})."
            )
        left = unlisted_keys(names, self._keys)
        if left:
            lines.append(f"{self.name}: {len(left)} of {len(names)} samples are in no list, such as {left[0]!r}.")
        return lines

    def sample_keys(self, split: str) -> Sequence[str]:
        """The keys of a split's samples: by chance where shares or folders make the split, else as listed."""
        if split not in self._keys:
            raise UnknownNameError(f"split of {self.name}", split, self._keys)
        return self._keys[split]

    def num_values(self, split: str, modality: Modality) -> int:
        """The number of a split's samples that have a file or a row of ``modality``."""
        known = {
            f"{self._parts[part].prefix}{key}"
            for part, column in self._columns_of(modality).items()
            if column
            for key in column.sample_keys()
        }
        return sum(key in known for key in self.sample_keys(split))

    def stored(self, key: str, modality: Modality) -> Stored | None:
        """The file or the cell of a sample."""
        column, own_key = self._place(key, modality)
        return column.stored(own_key, modality, self._storage) if column else None

    def explain_missing(self, modality: Modality) -> str | None:
        """The way to add the modality, or None where one part of the folder has values of it."""
        if any(
            column is not None and any(True for _ in column.sample_keys())
            for column in self._columns_of(modality).values()
        ):
            return None
        name = self._name(modality)
        tables = [f"a column {name!r} in {table.origin}" for table in self._tables.values()]
        expected = tables[0] if tables else f"a folder {name}/ or a file {name}{LINES_SUFFIX} in {self.config.path}"
        return (
            f"{self.name} has no {modality.name}: expected {expected}; found {self._found()}. Another name is stated "
            f"by 'data.source.options.columns={{{modality.name}: NAME}}'."
        )

    def data_fingerprint(self, modality: Modality) -> str:
        """A digest of the modality's files or cells, and of the keys of each split."""
        columns = {
            split: column.digest(modality, self._storage)
            for split, column in self._columns_of(modality).items()
            if column
        }
        return f"{sorted(columns.items())} {self._keys_digest}"

    def data_version(self, key: str, modality: Modality) -> str:
        """Name, size and version of the sample's file; of a row its cell, or the file that it names."""
        column, own_key = self._place(key, modality)
        match column:
            case FileColumn():
                return repr(column.files.get(own_key))
            case TableColumn() if self._storage.local_path("") is not None:
                return _local_version(column.stored(own_key, modality, self._storage))
            case _:
                return super().data_version(key, modality) if column else ""

    @property
    def _parts(self) -> dict[str, FolderPart]:
        """The folders of the splits, or the whole folder under the name ""."""
        return self._layout[0]

    @property
    def _beside(self) -> list[str]:
        """Files beside the folders of splits."""
        return self._layout[1]

    @cached_property
    def _layout(self) -> tuple[dict[str, FolderPart], list[str]]:
        entries = visible_entries(self._storage.walk())
        if not entries:
            raise DataError(f"{self.config.path} is empty, expected a folder for each modality, or a metadata table.")
        return split_folders(entries, [self._name(item) for item in self.modalities.values()], self.config.path)

    @cached_property
    def _tables(self) -> dict[str, MetadataTable]:
        """The metadata table of each part that has one."""
        found: dict[str, MetadataTable] = {}
        maps = [item.name for item in self.modalities.values() if not isinstance(item, SequenceModality)]
        chosen = next((self._names[name] for name in maps if name in self._names), None)
        for split, part in self._parts.items():
            if len(part.tables) > 1:
                raise DataError(f"{self.config.path} has {' and '.join(part.tables)}, expected one metadata table.")
            if part.tables:
                found[split] = read_table(self._storage, f"{part.prefix}{part.tables[0]}", chosen)
        return found

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """The keys of each split."""
        if "" in self._parts:
            place = self._storage.local_path("") or Path()
            return split_keys(self._part_keys(""), self.config.options, self.name, place)
        for option in SPLIT_OPTIONS:
            if option in self.config.options:
                raise ConfigError(
                    f"options.{option} is given, but {self.config.path} has folders of its splits already."
                )
        return {split: shuffle_keys(self._part_keys(split)) for split in self._parts}

    @cached_property
    def _keys_digest(self) -> str:
        return hashlib.sha256(repr(self._keys).encode("utf-8", "surrogateescape")).hexdigest()

    def _part_keys(self, split: str) -> list[str]:
        """The samples of a part, each once, that have a value of one of the run's modalities."""
        columns = [self._column(split, item) for item in self.modalities.values()]
        prefix = self._parts[split].prefix
        return list(dict.fromkeys(f"{prefix}{key}" for column in columns if column for key in column.sample_keys()))

    def _place(self, key: str, modality: Modality) -> tuple[Column | None, str]:
        """Where a modality's values of a sample's part lie, and the sample's key in that part."""
        part = next(part for part in self._parts.values() if key.startswith(part.prefix))
        split = next(name for name, item in self._parts.items() if item is part)
        return self._column(split, modality), key.removeprefix(part.prefix)

    def _columns_of(self, modality: Modality) -> dict[str, Column | None]:
        return {split: self._column(split, modality) for split in self._parts}

    def _column(self, split: str, modality: Modality) -> Column | None:
        """Where a modality's values of a part lie, or None where it has none."""
        place = (split, modality.name)
        if place not in self._columns:
            self._columns[place] = self._find_column(split, modality)
        return self._columns[place]

    def _find_column(self, split: str, modality: Modality) -> Column | None:
        part, name = self._parts[split], self._name(modality)
        if split in self._tables:
            table = self._tables[split]
            column = table.column_of(modality, self._names.get(modality.name))
            if column is None:
                return None
            return TableColumn(table=table, column=column, part=part, entry=part.entries[part.tables[0]])
        files, unknown = modality_files(part, name, self.config.path, modality.suffix)
        lines = f"{name}{LINES_SUFFIX}"
        if lines not in part.entries:
            self._unknown += unknown
            return FileColumn(files=files) if files else None
        if files:
            raise DataError(f"{self.config.path} has a folder {part.prefix}{name} and a file {lines}: keep one.")
        table = read_table(self._storage, f"{part.prefix}{lines}")
        column = lines_column(table, name)
        if column is None:
            raise DataError(f"{table.origin} needs the entries key and value, found {', '.join(table.columns)}.")
        return TableColumn(table=table, column=column, part=part, entry=part.entries[lines])

    def _name(self, modality: Modality) -> str:
        return self._names.get(modality.name) or modality.base or modality.name

    def _found(self) -> str:
        """What the folder has, for messages."""
        if self._tables:
            return "the columns " + ", ".join(
                dict.fromkeys(name for item in self._tables.values() for name in item.columns)
            )
        names = sorted({name.partition("/")[0] for part in self._parts.values() for name in part.entries})
        return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _local_version(stored: Stored | None) -> str:
    """A text that changes with what is stored: of files by size and time."""
    match stored:
        case StoredFile(path=path):
            facts = path.stat() if path.exists() else None
            return repr((path.name, facts and (facts.st_size, facts.st_mtime_ns)))
        case StoredBytes(data=data):
            return hashlib.sha256(data).hexdigest()
        case StoredValue(value=value):
            return repr(value)
        case _:
            return ""
