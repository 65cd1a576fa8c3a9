"""Data sets that the `datasets` library loads: by their name on the Hub, or from any folder that it knows."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modalities.errors import ConfigError, DataError, UnavailableError

GROUP_SIZE = 1000
"""Rows that are kept together when the order of samples is drawn."""


class HubTables:
    """The splits of a data set; files in its cells stay as they are, undecoded."""

    def __init__(self, place: str, options: Mapping[str, Any]) -> None:
        """Load the data set, or open its stream.

        Args:
            place: Name on the Hub, or a folder.
            options: ``name`` of the configuration, ``revision``, ``streaming``, and with streaming ``rows``: the number
                of rows of each split, where the data set does not say it.

        Raises:
            ConfigError: The library is not installed, or a stream's length is not known.
            DataError: The data set cannot be loaded.
        """
        self.place, self.is_streamed = place, bool(options.get("streaming", False))
        self._revision = str(options.get("revision") or "")
        self._configuration = str(options.get("name") or "")
        library = _datasets_library(place)
        try:
            tables = library.load_dataset(
                place, options.get("name"), revision=options.get("revision"), streaming=self.is_streamed
            )
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise DataError(f"The data set {place} cannot be loaded: {reason}.") from error
        self._tables = {str(split): _undecoded(library, table) for split, table in tables.items()}
        self._streams = {split: _RowStream(table) for split, table in self._tables.items() if self.is_streamed}
        self.splits = {split: self._num_rows(split, options.get("rows", {})) for split in self._tables}
        self._features: Mapping[str, Any] = next(iter(self._tables.values())).features or {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(self._features)

    def groups(self, split: str) -> Sequence[range]:
        """The whole split of a stream, which is read from its beginning; else blocks of rows."""
        total = self.splits[split]
        size = max(total, 1) if self.is_streamed else GROUP_SIZE
        return [range(start, min(start + size, total)) for start in range(0, total, size)]

    def cell(self, split: str, row: int, column: str) -> Any:
        """The cell."""
        try:
            record = self._streams[split].read(row) if self.is_streamed else self._tables[split][row]
        except DataError:
            raise
        except Exception as error:
            kind = UnavailableError if self.is_streamed and isinstance(error, OSError) else DataError
            raise kind(f"{self.origin(split, row)} cannot be read: {' '.join(str(error).split())}.") from error
        return record[column]

    def origin(self, split: str, row: int) -> str:
        """Name, split and row."""
        return f"{self.place}, {split} row {row}"

    def label_names(self, column: str) -> tuple[str, ...]:
        """Names of a `ClassLabel`."""
        return tuple(getattr(self._features[column], "names", None) or ())

    def fingerprint(self, column: str) -> str:
        """Fingerprints of the library, or of a stream its name, configuration, revision and length."""
        prints = [str(getattr(table, "_fingerprint", "")) for table in self._tables.values() if not self.is_streamed]
        return repr((column, self.place, self._configuration, self._revision, dict(self.splits), prints))

    def _num_rows(self, split: str, declared: Any) -> int:
        table = self._tables[split]
        if not self.is_streamed:
            return len(table)
        known = (getattr(table.info, "splits", None) or {}).get(split)
        number = declared.get(split) if isinstance(declared, Mapping) else None
        if number is None and known is not None and known.num_examples:
            number = known.num_examples
        if not isinstance(number, int) or number < 0:
            raise ConfigError(
                f"The stream of {self.place} does not say how many rows its split {split!r} has: declare it, "
                f"options.rows={{{split}: 100000}}."
            )
        return number


class _RowStream:
    """Rows of an endless iteration by number; rising numbers are read in one pass."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._rows: Iterator[Any] | None = None
        self._number, self._record = -1, None

    def read(self, number: int) -> Any:
        """The row.

        Raises:
            DataError: The stream ends before.
        """
        if self._rows is None or number < self._number:
            self._rows, self._number = iter(self._table.skip(number)), number - 1
        while self._number < number:
            record = next(self._rows, None)
            if record is None:
                raise DataError(f"The stream ends before row {number}: lower options.rows.")
            self._number, self._record = self._number + 1, record
        return self._record


def _undecoded(library: Any, table: Any) -> Any:
    """The table with images and sounds as the bytes of their files."""
    for name, feature in (table.features or {}).items():
        if isinstance(feature, library.Image):
            table = table.cast_column(name, library.Image(decode=False))
        elif isinstance(feature, library.Audio):
            table = table.cast_column(name, library.Audio(decode=False))
    return table


def _datasets_library(place: str) -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise ConfigError(
            f"{place} is loaded by the library datasets, which is not installed: pip install 'fourm-lab[datasets]'."
        ) from error
