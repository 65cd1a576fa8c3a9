"""Tables in Arrow and Parquet files, read by pyarrow group by group without being loaded as a whole."""

import functools
import importlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from modalities.errors import ConfigError, DataError, UnavailableError
from modalities.sources.cache import FileCache
from modalities.sources.huggingface.rows import label_names_of
from modalities.sources.remote import FileEntry, Storage
from modalities.sources.splits import SPLIT_ALIASES

_STATE_FILE = "state.json"
"""File of `datasets.save_to_disk` that lists the files of a table; others beside them are its caches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TableFile:
    """One Arrow or Parquet file, opened when it is asked for."""

    storage: Storage
    entry: FileEntry
    split: str
    """Split that its name or folder begins with; empty for none."""

    @property
    def origin(self) -> str:
        """Its path or URL."""
        return self.storage.origin(self.entry.name)

    @functools.cached_property
    def group_sizes(self) -> tuple[int, ...]:
        """Rows of each group: a record batch of Arrow, a row group of Parquet."""
        if self._is_arrow:
            return tuple(len(batch) for batch in self._batches)
        return self._parquet_facts[0]

    @functools.cached_property
    def schema(self) -> Any:
        """The schema, of pyarrow."""
        return self._batches[0].schema if self._is_arrow else self._parquet_facts[1]

    def read_group(self, number: int, column: str) -> Any:
        """A column of one group as an array of pyarrow."""
        try:
            if self._is_arrow:
                return self._batches[number].column(column)
            file = _open_parquet(self.storage, self.entry)
            return file.read_row_group(number, columns=[column]).column(column).combine_chunks()
        except DataError:
            raise
        except Exception as error:
            is_far = self.storage.local_path(self.entry.name) is None and isinstance(error, OSError)
            kind = UnavailableError if is_far else DataError
            raise kind(f"{self.origin} cannot be read: {_one_line(error)}.") from error

    @property
    def _is_arrow(self) -> bool:
        return self.entry.name.endswith(".arrow")

    @functools.cached_property
    def _batches(self) -> list[Any]:
        """Record batches of an Arrow file, mapped into memory."""
        arrow = _pyarrow("pyarrow")
        path = self.storage.local_path(self.entry.name)
        if path is None:
            raise DataError(
                f"{self.origin} is an Arrow file at a URL, which would be copied as a whole: save the data set as "
                "Parquet."
            )
        try:
            batches = list(arrow.ipc.open_stream(arrow.memory_map(str(path))))
        except Exception as error:
            raise DataError(f"{self.origin} is not a whole Arrow file: {_one_line(error)}.") from error
        if not batches:
            raise DataError(f"{self.origin} has no rows.")
        return batches

    @functools.cached_property
    def _parquet_facts(self) -> tuple[tuple[int, ...], Any]:
        """Rows of each row group, and the schema; the file is closed again, as there may be thousands."""
        file = _parquet_file(self.storage, self.entry.name)
        facts = file.metadata
        sizes = tuple(facts.row_group(number).num_rows for number in range(facts.num_row_groups))
        schema = file.schema_arrow
        file.close(force=True)
        return sizes, schema


def _parquet_file(storage: Storage, name: str) -> Any:
    parquet = _pyarrow("pyarrow.parquet")
    path = storage.local_path(name)
    try:
        return parquet.ParquetFile(path if path is not None else storage.open(name))
    except UnavailableError:
        raise
    except Exception as error:
        raise DataError(f"{storage.origin(name)} is not a whole Parquet file: {_one_line(error)}.") from error


_open_parquet = FileCache(_parquet_file, max_files=4)
"""The files that were read last; a file that is left out is closed."""


class FileTables:
    """The tables of some files: one a split, the files one after the other in the order of their names."""

    def __init__(self, files: Sequence[TableFile]) -> None:
        """Read the sizes of all files.

        Raises:
            DataError: A file is damaged, has other columns than the first, or is of no split beside others of one.
        """
        self._files: dict[str, list[TableFile]] = {}
        for file in files:
            self._files.setdefault(file.split, []).append(file)
        if "" in self._files and len(self._files) > 1:
            known = ", ".join(split for split in self._files if split)
            raise DataError(
                f"{self._files[''][0].origin} lies beside files of the splits {known}, but its name and folder begin "
                f"with none of {', '.join(SPLIT_ALIASES)}: rename it, or move it elsewhere."
            )
        first = files[0]
        self.columns = tuple(str(name) for name in first.schema.names)
        for file in files:
            if set(file.schema.names) != set(self.columns):
                raise DataError(
                    f"{file.origin} has the columns {', '.join(file.schema.names)}, {first.origin} has "
                    f"{', '.join(self.columns)}: expected the same in all files."
                )
        self._metadata = first.schema.metadata
        self._groups = {split: _Groups(items) for split, items in self._files.items()}

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of rows of each split."""
        return {split: groups.num_rows for split, groups in self._groups.items()}

    def groups(self, split: str) -> Sequence[range]:
        """Record batches and row groups."""
        return self._groups[split].ranges

    def cell(self, split: str, row: int, column: str) -> Any:
        """The cell, in plain types; the group of each column that was read last is kept."""
        file, group, number = self._groups[split].place(row)
        return self._read_group(file, group, column)[number].as_py()

    def origin(self, split: str, row: int) -> str:
        """File and row."""
        file, group, number = self._groups[split].place(row)
        return f"{file.origin}, row {sum(file.group_sizes[:group]) + number}"

    def label_names(self, column: str) -> tuple[str, ...]:
        """Names of labels, where the `datasets` library wrote them."""
        return label_names_of(self._metadata, column)

    def fingerprint(self, column: str) -> str:
        """Names, sizes and times of all files, and the column."""
        entries = [file.entry for files in self._files.values() for file in files]
        return repr((column, entries))

    @functools.cached_property
    def _kept(self) -> dict[str, tuple[tuple[str, int], Any]]:
        """The last group of each column."""
        return {}

    def _read_group(self, file: TableFile, group: int, column: str) -> Any:
        place = (file.origin, group)
        if column not in self._kept or self._kept[column][0] != place:
            self._kept[column] = (place, file.read_group(group, column))
        return self._kept[column][1]


class _Groups:
    """The groups of a split's files, counted through."""

    def __init__(self, files: Sequence[TableFile]) -> None:
        self._places = [(file, group) for file in files for group in range(len(file.group_sizes))]
        sizes = [size for file in files for size in file.group_sizes]
        self._starts = np.cumsum([0, *sizes])

    @property
    def num_rows(self) -> int:
        return int(self._starts[-1])

    @property
    def ranges(self) -> list[range]:
        starts = self._starts.tolist()
        return [range(start, stop) for start, stop in itertools.pairwise(starts)]

    def place(self, row: int) -> tuple[TableFile, int, int]:
        """File, group and row in the group."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        file, group = self._places[number]
        return file, group, row - int(self._starts[number])


def find_tables(storage: Storage, name: str = "") -> list[TableFile]:
    """Arrow and Parquet files of a folder, or the one called ``name``; empty where there are none.

    Raises:
        DataError: Some files are Arrow and others Parquet, or two names of splits stand for one.
    """
    entries = [entry for entry in storage.walk() if not any(part.startswith(".") for part in entry.name.split("/"))]
    listed = _listed_files(storage, entries)
    tables = [
        entry
        for entry in entries
        if (entry.name.endswith(".parquet") or entry.name in listed or _is_unlisted_arrow(entry.name, listed))
        and name in ("", entry.name)
    ]
    if len({PurePosixPath(entry.name).suffix for entry in tables}) > 1:
        raise DataError(f"{storage.root} has Arrow and Parquet files, expected one type.")
    names = splits_by_alias(dict.fromkeys(filter(None, (_split_word(entry.name) for entry in tables))), storage.root)
    splits = {word: split for split, word in names.items()}
    return [TableFile(storage=storage, entry=entry, split=splits.get(_split_word(entry.name), "")) for entry in tables]


def splits_by_alias(names: Iterable[str], origin: str) -> dict[str, str]:
    """The names of splits by what they stand for: ``validation`` for val.

    Raises:
        DataError: Two stand for one split.
    """
    found: dict[str, str] = {}
    for name in names:
        split = SPLIT_ALIASES.get(name.lower(), name)
        if split in found:
            raise DataError(f"{origin} has {found[split]!r} and {name!r}, which are both the split {split}: keep one.")
        found[split] = name
    return found


def _listed_files(storage: Storage, entries: Sequence[FileEntry]) -> set[str]:
    """Arrow files that the tables of `datasets.save_to_disk` list."""
    listed: set[str] = set()
    for entry in entries:
        folder, _, file = entry.name.rpartition("/")
        if file == _STATE_FILE:
            try:
                files = json.loads(storage.read(entry.name))["_data_files"]
                listed |= {f"{folder}/{item['filename']}".lstrip("/") for item in files}
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{storage.origin(entry.name)} does not list the files of a data set: {error}."
                ) from error
    return listed


def _is_unlisted_arrow(name: str, listed: set[str]) -> bool:
    return name.endswith(".arrow") and not listed


def _split_word(name: str) -> str:
    """The split, in lower case, that a file's folder is or its name begins with: ``train-00000-of-00002.parquet``."""
    *folders, file = name.split("/")
    words = [*folders, file.split("-")[0].split(".")[0].split("_")[0]]
    return next((word.lower() for word in words if word.lower() in SPLIT_ALIASES), "")


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            "Arrow and Parquet files are read by pyarrow, which is not installed: pip install 'fourm-lab[datasets]'."
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
