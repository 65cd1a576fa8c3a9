"""Records that are kept on disk, so that memory does not grow with the data."""

import json
import tempfile
import weakref
from collections.abc import Iterator, Sequence


class Spool:
    """Rows of strings in a temporary file, which is deleted with the spool; read in order, any number of times."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed with the spool
        weakref.finalize(self, self._file.close)

    def append(self, record: Sequence[str]) -> None:
        """Add one record at the end. No iteration may be under way."""
        self._file.write(json.dumps(record) + "\n")

    def __iter__(self) -> Iterator[list[str]]:
        """The records. One iteration at a time."""
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)
        self._file.seek(0, 2)
