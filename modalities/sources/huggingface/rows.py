"""What the forms of a data set of rows have in common."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class RowTables(Protocol):
    """Tables of rows, one a split."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of rows of each split."""

    def groups(self, split: str) -> Sequence[range]:
        """Rows of a split that are read together."""

    def cell(self, split: str, row: int, column: str) -> Any:
        """What a cell holds, in plain types; files as records of ``bytes`` and ``path``.

        Raises:
            DataError: It cannot be read.
        """

    def origin(self, split: str, row: int) -> str:
        """The row in messages."""

    def label_names(self, column: str) -> tuple[str, ...]:
        """Names that the integers of a column stand for; empty for other columns."""

    def fingerprint(self, column: str) -> str:
        """A text that changes whenever a cell of the column may."""


def label_names_of(schema_metadata: Mapping[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """Names of a column's labels, as the `datasets` library writes them into the schema of Arrow and Parquet files."""
    try:
        described = json.loads((schema_metadata or {}).get(b"huggingface", b"{}"))
        feature = described["info"]["features"][column]
        return tuple(str(name) for name in feature["names"]) if feature.get("_type") == "ClassLabel" else ()
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
