"""Metadata tables in the way of Hugging Face's ImageFolder: a row a sample, with names of files, and values."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modalities.errors import DataError
from modalities.kinds.sequences import FreeTextModality
from modalities.sources.captions import json_lines
from modalities.sources.cells import names_file, stored_cell
from modalities.sources.folder.files import sample_key
from modalities.sources.remote import Storage
from modalities.sources.stored import Stored, StoredValue
from modalities.spec import Modality

_ARROW_TEXTS = ("string", "large_string", "dictionary<values=string", "dictionary<values=large_string")
"""Beginnings of Arrow's names of types of text."""

FILE_COLUMN, KEY_COLUMN = "file_name", "key"
"""Column of the image's file, and column of the sample's key where it is not the file's name."""


@dataclass(frozen=True, kw_only=True)
class MetadataTable:
    """The columns of a table, and the rows of each sample."""

    origin: str
    columns: Mapping[str, Sequence[Any]]
    rows: Mapping[str, Sequence[int]]
    """Rows by key; several rows of one key give several texts."""

    def column_of(self, modality: Modality, chosen: str | None) -> str | None:
        """The column of a modality: the ``chosen`` one, else the one of its files or of its name; None without one.

        The image's column is also called `FILE_COLUMN`.

        Raises:
            DataError: There is no column ``chosen``.
        """
        if chosen is not None:
            if chosen not in self.columns:
                raise DataError(f"{self.origin} has no column {chosen!r}: it has {', '.join(self.columns)}.")
            return chosen
        name = modality.base or modality.name
        candidates = [f"{name}_{FILE_COLUMN}", name, *([FILE_COLUMN] if modality.has_pixel_stream else [])]
        return next((column for column in candidates if column in self.columns), None)

    def stored(self, key: str, modality: Modality, column: str, open_file: Callable[[str], Stored]) -> Stored | None:
        """The value of a sample in a column.

        Raises:
            DataError: Rows of the sample hold different values that are no texts.
        """
        cells: list[Any] = []
        for row in self.rows.get(key, ()):
            cell = self.columns[column][row]
            if cell is not None and cell != "" and cell not in cells:
                cells.append(cell)
        if not cells:
            return None
        origin = f"{self.origin}, row {self.rows[key][0] + 1}, {column}"
        names_files = column.endswith(FILE_COLUMN)
        if isinstance(modality, FreeTextModality) and not names_files:
            texts = [text for cell in cells for text in (cell if isinstance(cell, list | tuple) else [cell])]
            return StoredValue(value=texts, origin=origin)
        if len(cells) > 1:
            raise DataError(
                f"{self.origin} has {len(cells)} values of {modality.name} for the sample {key!r}, in rows "
                f"{', '.join(str(row + 1) for row in self.rows[key])}: expected one; only texts may be several."
            )
        return open_file(str(cells[0])) if names_files else stored_cell(cells[0], modality, origin, open_file)

    def named_files(self, modality: Modality, column: str) -> list[str]:
        """The names of files in a column, each once, as `stored` gives them to ``open_file``."""
        cells = self.columns[column]
        if isinstance(cells, _ArrowColumn) and not cells.holds_text:
            return []
        if column.endswith(FILE_COLUMN):
            return list(dict.fromkeys(str(cell) for cell in cells if cell is not None and cell != ""))
        return list(dict.fromkeys(cell for cell in cells if names_file(cell, modality)))


def read_table(storage: Storage, name: str, key_column: str | None = None) -> MetadataTable:
    """Read a .csv, .jsonl or .parquet file.

    Args:
        key_column: Column whose files name the samples where the table has neither `KEY_COLUMN`, nor `FILE_COLUMN`,
            nor a column that ends in it.

    Raises:
        DataError: The file is damaged, or no column names the samples.
    """
    origin = storage.origin(name)
    suffix = PurePosixPath(name).suffix
    if suffix == ".parquet":
        columns = _read_parquet(storage, name)
    else:
        columns = _READERS[suffix](_decoded(storage.read(name), origin), origin)
    named = [item for item in columns if item.endswith(f"_{FILE_COLUMN}")]
    candidates = (KEY_COLUMN, FILE_COLUMN, *named, key_column)
    column = next((item for item in candidates if item in columns), None)
    if column is None:
        raise DataError(
            f"{origin} does not say which sample a row is: expected a column {FILE_COLUMN!r}, one that ends in "
            f"'_{FILE_COLUMN}', or {KEY_COLUMN!r}; it has {', '.join(columns) or 'none'}."
        )
    rows: dict[str, list[int]] = {}
    for number, cell in enumerate(columns[column]):
        rows.setdefault(_row_key(cell, column, f"{origin}, row {number + 1}"), []).append(number)
    return MetadataTable(origin=origin, columns=columns, rows=rows)


def _row_key(cell: Any, column: str, origin: str) -> str:
    """The sample of a row: its key, or its file's path without the type."""
    if cell is None or not str(cell).strip():
        raise DataError(f"{origin} has an empty {column!r}, which names the sample.")
    if not isinstance(cell, str | int):
        raise DataError(
            f"{origin} has a {type(cell).__name__} in {column!r}, expected a file's name, which names the sample: add "
            f"a column {KEY_COLUMN!r}."
        )
    text = str(cell).strip()
    if column == KEY_COLUMN:
        return sample_key(text)
    path = PurePosixPath(text)
    if path.name in ("", ".."):
        raise DataError(f"{origin} has {text!r} in {column!r}, expected a file's name, which names the sample.")
    return sample_key(str(path.with_suffix("")))


def _read_csv(text: str, origin: str) -> dict[str, Sequence[Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{origin} is not CSV: {error} in line {reader.line_num}.") from error
    if not rows:
        raise DataError(f"{origin} is empty, expected a line of column names.")
    names = [name.strip() for name in rows[0]]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{origin} has several columns {repeated[0]!r}, expected one of each name: rename one.")
    for number, row in enumerate(rows[1:]):
        if len(row) != len(names):
            raise DataError(
                f"{origin}, row {number + 1} has {len(row)} cells, expected {len(names)} as its first line has."
            )
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(names)}


def _read_json_lines(text: str, origin: str) -> dict[str, Sequence[Any]]:
    records = _objects(text, origin)
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _objects(text: str, origin: str) -> list[dict[str, Any]]:
    """The objects of a .jsonl file, one a line."""
    found: list[dict[str, Any]] = []
    for number, record in json_lines(text, origin):
        if not isinstance(record, dict):
            raise DataError(f"{origin}, line {number} holds a {type(record).__name__}, expected a JSON object.")
        found.append(record)
    return found


def _read_parquet(storage: Storage, name: str) -> dict[str, Sequence[Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(
            f"{storage.origin(name)} is read by pyarrow, which is not installed: pip install pyarrow."
        ) from error
    with storage.open(name) as file:
        try:
            table = parquet.read_table(file)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{storage.origin(name)} is not a whole Parquet file: {' '.join(str(error).split())}."
            ) from error
    return {column: _ArrowColumn(table.column(column)) for column in table.column_names}


class _ArrowColumn(Sequence[Any]):
    """A column that stays in Arrow's memory; cells become objects when they are read."""

    def __init__(self, column: Any) -> None:
        self._column = column

    @property
    def holds_text(self) -> bool:
        """True for a column of texts, which may name files."""
        return str(self._column.type).startswith(_ARROW_TEXTS)

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: Any) -> Any:
        return self._column[index].as_py()


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{origin} is not UTF-8 text: {error.reason} at byte {error.start}.") from error


_READERS: Mapping[str, Callable[[str, str], dict[str, Sequence[Any]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
}
