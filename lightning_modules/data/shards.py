"""Shards of columns on disk: arrays or records of many samples in one file, each with a manifest of checksums."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modalities.errors import DataError
from modalities.storage.atomic import read_json_object

MANIFEST = "manifest.json"


def write_column(folder: Path, name: str, values: Sequence[Any]) -> None:
    """Write one column of arrays: stacked where all shapes agree, else end to end with the offsets beside them.

    A value of None is a sample that lacks the column.
    """
    present = np.array([value is not None for value in values])
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

    values: NDArray[Any]
    """(n, ...) stacked, or the rows of all samples end to end."""
    offsets: NDArray[np.int64] | None = None
    """Start and end of each sample's rows; None for stacked values."""
    present: NDArray[np.bool_] | None = None
    """False where a sample lacks the column; None where all have it."""

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[Any] | None:
        if self.present is not None and not self.present[index]:
            return None
        if self.offsets is None:
            return np.asarray(self.values[index])
        return np.asarray(self.values[self.offsets[index] : self.offsets[index + 1]])


def read_column(folder: Path, name: str, *, in_memory: bool = False) -> ShardColumn:
    """The column that `write_column` wrote.

    Raises:
        DataError: The file is missing or is not an array.
    """
    mode: Literal["r"] | None = None if in_memory else "r"
    offsets, present = folder / f"{name}.offsets.npy", folder / f"{name}.present.npy"
    try:
        return ShardColumn(
            values=np.load(folder / f"{name}.npy", mmap_mode=mode),
            offsets=np.load(offsets) if offsets.exists() else None,
            present=np.load(present) if present.exists() else None,
        )
    except FileNotFoundError:
        raise DataError(f"{folder} has no column {name!r}. Make it again.") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{folder / name}.npy is damaged: {error}. Delete the folder and make it again.") from error


def write_manifest(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write the manifest of a shard: ``facts``, and the size and checksum of every file beside it."""
    files = {
        path.name: {"bytes": path.stat().st_size, "crc32": checksum(path)}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({**metadata, "files": files}, indent=1, sort_keys=True) + "\n")


def read_manifest(folder: Path, *, verify_checksums: bool = False) -> dict[str, Any]:
    """The facts of a shard whose files are as they were sealed.

    Args:
        thorough: Compare checksums too, not only sizes.

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
        if verify_checksums and (actual := checksum(path)) != expected["crc32"]:
            raise DataError(
                f"{path} is damaged: its checksum is {actual}, expected {expected['crc32']}. "
                f"Delete {folder} and make it again."
            )
    return metadata


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
