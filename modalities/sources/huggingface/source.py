"""The source of rows in the forms of Hugging Face."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modalities.errors import ConfigError, DataError, UnknownNameError
from modalities.kinds.sequences import FreeTextModality
from modalities.sources.cells import stored_cell
from modalities.sources.config import SourceConfig
from modalities.sources.huggingface.files import FileTables, find_tables, splits_by_alias
from modalities.sources.huggingface.hub import HubTables
from modalities.sources.huggingface.rows import RowTables
from modalities.sources.remote import open_storage, split_place
from modalities.sources.splits import DEFAULT_SHARES, SPLIT_OPTIONS, shuffle_keys, split_keys
from modalities.sources.stored import Stored, StoredFile, StoredSource
from modalities.spec import Modality

_HUB_OPTIONS = ("name", "revision", "streaming", "rows")


class HuggingFaceSource(StoredSource):
    """Rows of a data set, each column a modality.

    Path: a folder that `datasets.save_to_disk` wrote; a Parquet file, or a folder or URL of them; or the name of a data
    set on the Hub, which the library `datasets` loads.

    Splits are those of the data set: its names, folders, or the beginnings of its files' names. One that has a single
    split is divided by shares. Rows are taken group by group (record batches, row groups), the groups in an order that
    is drawn by hash; those of a stream in its own order.

    Options:
        columns: The column of each modality, ``{rgb: image, caption: text}``; else the modality's own name.
        splits, group: Shares of splits, or lists of keys in the data's folder, see `modalities.sources.splits`; for a
            data set of one split.
        name, revision: Configuration and revision of a data set on the Hub.
        streaming: True to read it row by row without a copy on disk, and ``rows: {train: N}`` for its length.
        storage: Arguments of fsspec's file system.
    """

    kind = "huggingface"
    known_options = ("columns", "storage", *_HUB_OPTIONS, *SPLIT_OPTIONS)

    def __init__(self, config: SourceConfig, modalities: Mapping[str, Modality]) -> None:
        """Open the tables.

        Raises:
            UserError: There are none, or an option is malformed.
        """
        super().__init__(config, modalities)
        self.tables = _open_tables(config)
        self._split_names = splits_by_alias(self.tables.splits, config.path)
        self.is_divided = len(self._split_names) < 2
        given = [name for name in SPLIT_OPTIONS if name in config.options]
        if given and not self.is_divided:
            raise ConfigError(
                f"{config.path} has the splits {', '.join(self._split_names)}: options.{given[0]} has no effect, "
                "remove it."
            )
        columns = config.options.get("columns", {})
        if not isinstance(columns, Mapping):
            raise ConfigError(f"options.columns must map modalities to columns, got {columns!r}.")
        self.columns = {str(name): str(column) for name, column in columns.items()}
        for column in self.columns.values():
            if column not in self.tables.columns:
                raise UnknownNameError(f"column of {config.path}", column, self.tables.columns)

    @property
    def notes(self) -> list[str]:
        """A line on a stream whose changes are not noticed."""
        if not isinstance(self.tables, HubTables) or not self.tables.is_streamed or self.config.options.get("revision"):
            return []
        return [
            f"{self.name} is read as a stream without options.revision: changes of the data set are not noticed, and "
            "results made before them are kept. Set a commit of it."
        ]

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits of the data set, or those of the option."""
        return tuple(self.config.options.get("splits", DEFAULT_SHARES)) if self.is_divided else tuple(self._split_names)

    def sample_keys(self, split: str) -> Sequence[str]:
        """``SPLIT/ROW`` of each row, SPLIT as the data set has it; the row alone where it has none."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        return self._keys_by_split[split]

    def stored(self, key: str, modality: Modality) -> Stored | None:
        """The cell of the modality's column."""
        column = self._column(modality)
        if column not in self.tables.columns:
            return None
        split, _, row = key.rpartition("/")
        cell = self.tables.cell(split, int(row), column)
        names = self.tables.label_names(column)
        if names and isinstance(cell, int) and isinstance(modality, FreeTextModality):
            # datasets writes -1 where a label is missing.
            cell = names[cell] if 0 <= cell < len(names) else None
        origin = f"{self.tables.origin(split, int(row))}, {column}"
        if isinstance(cell, Mapping) and cell.get("bytes", b"") is None:
            return _stored_path(cell.get("path"), origin)
        return stored_cell(cell, modality, origin)

    def explain_missing(self, modality: Modality) -> str | None:
        """The columns that there are, where none is the modality's."""
        column = self._column(modality)
        if column in self.tables.columns:
            return None
        return (
            f"{self.name} has no column {column!r} for {modality.name!r}; it has {', '.join(self.tables.columns)}. "
            f"Name the column in options.columns, or leave {modality.name!r} out."
        )

    def data_fingerprint(self, modality: Modality) -> str:
        """The fingerprint of the column, and the keys of all samples."""
        column = self._column(modality)
        digest = hashlib.sha256(repr(sorted(self._keys_by_split.items())).encode()).hexdigest()
        return f"{self.tables.fingerprint(column)} {digest}"

    @functools.cached_property
    def _keys_by_split(self) -> dict[str, Sequence[str]]:
        if not self.is_divided:
            return {name: self._ordered(own) for name, own in self._split_names.items()}
        (own,) = self._split_names.values()
        keys = self._ordered(own)
        chosen = split_keys(keys, self.config.options, self.name, _lists_folder(self.config.path))
        places = {key: number for number, key in enumerate(keys)}
        return {name: sorted(items, key=places.__getitem__) for name, items in chosen.items()}

    def _ordered(self, split: str) -> list[str]:
        """Keys of a split of the data set, its groups shuffled: a group's rows cost one reading."""
        groups = {_row_key(split, group.start): group for group in self.tables.groups(split)}
        return [_row_key(split, row) for name in shuffle_keys(groups) for row in groups[name]]

    def _column(self, modality: Modality) -> str:
        return self.columns.get(modality.name, modality.name)


def _open_tables(config: SourceConfig) -> RowTables:
    given = [name for name in _HUB_OPTIONS if name in config.options]
    is_file = config.path.endswith((".parquet", ".arrow"))
    if "streaming" not in config.options and (is_file or "://" in config.path or Path(config.path).is_dir()):
        root, name = split_place(config.path) if is_file else (config.path, "")
        files = find_tables(open_storage(root, config.options.get("storage")), name)
        if files and given:
            raise ConfigError(f"options.{given[0]} is for data sets of the Hub: {config.path} has files.")
        if files:
            return FileTables(files)
        if is_file or "://" in config.path:
            raise DataError(f"There are no Arrow or Parquet files in {config.path}.")
    if not config.path:
        raise ConfigError("data.source.path must name a folder, a file or a data set of the Hub.")
    return HubTables(config.path, config.options)


def _lists_folder(path: str) -> Path:
    """The folder in which lists of keys are looked for: the data's, or the working folder where that is elsewhere."""
    place = Path(path)
    return place if place.is_dir() else place.parent if place.is_file() else Path()


def _row_key(split: str, row: int) -> str:
    return f"{split}/{row}" if split else str(row)


def _stored_path(path: Any, origin: str) -> Stored | None:
    """A file that a cell names and does not hold.

    Raises:
        DataError: It is not on this machine.
    """
    if not path:
        return None
    if not Path(str(path)).is_file():
        raise DataError(
            f"{origin} names the file {path}, which is not on this machine, expected its bytes in the cell."
        )
    return StoredFile(path=Path(str(path)))
