"""Columns of shards on disk: arrays or records of many samples in a few files, with a manifest of their checksums.

Rows are read when they are asked for. Opening a column compares the size of each file and a checksum of its two ends;
`read_manifest` reads all content on demand.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.data.array_file import ArrayFile, open_array, open_bytes
from modalities.errors import DataError
from modalities.storage.atomic import read_json_object

MANIFEST = "manifest.json"

END_BYTES = 4096
"""Bytes at each end of a file that are compared whenever a column is opened."""


def write_column(folder: Path, name: str, values: Sequence[Any]) -> None:
    """Write one column of arrays: stacked where all shapes agree, else end to end with the offsets beside them.

    A value of None is a sample that lacks the column.
    """
    present = np.array([value is not None for value in values], dtype=bool)
    arrays = [np.asarray(value) for value in values if value is not None]
    if not present.all():
        np.save(folder / f"{name}.present.npy", present)
    if not arrays:
        np.save(folder / f"{name}.npy", np.zeros((0,), dtype=np.uint16))
        np.save(folder / f"{name}.offsets.npy", np.zeros(len(values) + 1, dtype=np.int64))
        return
    if len({array.shape for array in arrays}) == 1 and present.all():
        np.save(folder / f"{name}.npy", np.stack(arrays))
        return
    lengths = np.zeros(len(values), dtype=np.int64)
    lengths[present] = [len(array) for array in arrays]
    np.save(folder / f"{name}.npy", np.concatenate(arrays))
    np.save(folder / f"{name}.offsets.npy", np.concatenate([[0], lengths.cumsum()]))


@dataclass(frozen=True, kw_only=True)
class ShardColumn:
    """One shard's column of arrays."""

    values: ArrayFile
    """(n, ...) stacked, or the rows of all samples end to end."""
    offsets: ArrayFile | None = None
    """Start and end of each sample's rows; None for stacked values."""
    present: ArrayFile | None = None
    """False where a sample lacks the column; None where all have it."""

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[Any] | None:
        if self.present is not None and not self.present[index]:
            return None
        if self.offsets is None:
            return self.values[index]
        start, end = self.offsets[index : index + 2].tolist()
        return self.values[start:end]

    def has_value(self) -> NDArray[np.bool_]:
        """True for each sample that has the column."""
        return np.ones(len(self), dtype=bool) if self.present is None else np.array(self.present[:])


def read_column(folder: Path, name: str) -> ShardColumn:
    """The column that `write_column` wrote; its values are read when they are asked for.

    Raises:
        DataError: A file is missing or is not an array.
    """
    offsets, present = folder / f"{name}.offsets.npy", folder / f"{name}.present.npy"
    try:
        return ShardColumn(
            values=open_array(folder / f"{name}.npy"),
            offsets=open_array(offsets) if offsets.exists() else None,
            present=open_array(present) if present.exists() else None,
        )
    except FileNotFoundError:
        raise DataError(f"{folder} has no column {name!r}. Make it again.") from None


def write_records(folder: Path, name: str, records: Sequence[Any]) -> None:
    """Write one column of JSON records, one a line, and the start of each line; None is a sample that lacks it."""
    lines = [(json.dumps(record) + "\n").encode() for record in records]
    (folder / f"{name}.jsonl").write_bytes(b"".join(lines))
    np.save(folder / f"{name}.lines.npy", np.cumsum([0, *map(len, lines)], dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class RecordColumn:
    """One shard's column of JSON records."""

    content: ArrayFile
    """The file's bytes."""
    starts: ArrayFile
    """Start of each line, and the end of the last."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Any:
        start, end = self.starts[index : index + 2].tolist()
        try:
            return json.loads(self.content[start:end].tobytes())
        except ValueError as error:
            raise DataError(
                f"{self.content.path} is damaged in line {index + 1}: {error}. Delete the folder and make it again."
            ) from error

    def has_value(self) -> NDArray[np.bool_]:
        """True for each sample that has the column."""
        return np.array([self[index] is not None for index in range(len(self))], dtype=bool)


def read_records(folder: Path, name: str) -> RecordColumn:
    """The column that `write_records` wrote; its lines are read when they are asked for.

    Raises:
        DataError: A file is missing or is damaged.
    """
    try:
        return RecordColumn(
            content=open_bytes(folder / f"{name}.jsonl"), starts=open_array(folder / f"{name}.lines.npy")
        )
    except FileNotFoundError:
        raise DataError(f"{folder} has no column {name!r}. Make it again.") from None


def write_manifest(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write the manifest of a column: ``metadata``, and the size and checksums of every file beside it."""
    files = {
        path.name: {"bytes": path.stat().st_size, "crc32": checksum(path), "ends_crc32": ends_checksum(path)}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({**metadata, "files": files}, indent=1, sort_keys=True) + "\n")


def read_manifest(folder: Path, *, verify_checksums: bool = False) -> dict[str, Any]:
    """The manifest of a column whose files are as they were written, as far as their sizes and ends show.

    Args:
        verify_checksums: Read the files, and compare the checksums of all their content.

    Raises:
        DataError: The manifest or a file is missing, or a file has another size or checksum.
    """
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder} has no {MANIFEST}: it was not written to the end. Delete it and make it again.")
    metadata = read_json_object(folder / MANIFEST)
    if not isinstance(metadata.get("files"), dict):
        raise DataError(f"{folder / MANIFEST} is damaged: it does not list its files.")
    for name, expected in metadata["files"].items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        if found is None:
            raise DataError(f"{path} is missing. Delete {folder} and make it again.")
        if found != expected["bytes"]:
            raise DataError(f"{path} has {found} bytes, expected {expected['bytes']}: it is truncated or was changed.")
        _compare(path, ends_checksum(path), expected.get("ends_crc32"))
        if verify_checksums:
            _compare(path, checksum(path), expected["crc32"])
    return metadata


def _compare(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise DataError(
            f"{path} is damaged: its checksum is {found}, expected {expected}. Delete {path.parent} and make it again."
        )


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def ends_checksum(path: Path) -> int:
    """CRC-32 of a file's first and last `END_BYTES` bytes, which may overlap."""
    with path.open("rb") as file:
        first = file.read(END_BYTES)
        file.seek(max(0, path.stat().st_size - END_BYTES))
        return zlib.crc32(file.read(END_BYTES), zlib.crc32(first))
