"""Arrays in files, mapped into memory: processes share their pages, and what is resident of them is bounded."""

import math
import mmap
import weakref
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from modalities.errors import DataError

MAX_MAPS = 16_384
"""Files that one process maps at once; Linux allows a process 65,530 maps."""

MAX_RESIDENT_BYTES = 32 << 20
"""Bytes of mapped pages, by estimate, after which a process gives them back; they stay in the system's page cache."""

FAULT_BYTES = 64 << 10
"""Bytes around a row that the kernel maps with it."""


class MappedArray:
    """An array in a file, mapped when it is first read. Pickling keeps the path alone."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self.nbytes = math.prod(shape) * dtype.itemsize
        self._offset = offset
        self._array: NDArray[Any] | None = None
        self._map: mmap.mmap | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | NDArray[Any]) -> NDArray[Any]:
        """Rows of the array: a view of the map, or a copy for an array of indices. Not writable."""
        array = self._array
        if array is None:
            array = self._open()
        found = np.asarray(array[index])
        _resident.add(self, found.nbytes + FAULT_BYTES * (len(index) if isinstance(index, np.ndarray) else 1))
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None, "_map": None}

    @property
    def is_mapped(self) -> bool:
        """True between the first read and `unmap`."""
        return self._array is not None

    def release(self) -> None:
        """Give the resident pages back; they are read from the page cache again when needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def unmap(self) -> None:
        """Drop the map; it ends with the last view of it."""
        self._array = self._map = None

    def _open(self) -> NDArray[Any]:
        if self.nbytes == 0:
            return np.zeros(self.shape, dtype=self.dtype)
        try:
            with self.path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            flat = np.frombuffer(mapped, dtype=self.dtype, count=math.prod(self.shape), offset=self._offset)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} is damaged: {error}. Delete its folder and make it again.") from error
        array = self._array = flat.reshape(self.shape)
        self._map = mapped
        _mapped.append(weakref.ref(self))
        while len(_mapped) > MAX_MAPS:
            oldest = _mapped.popleft()()
            if oldest is not None:
                oldest.unmap()
        return array


def map_array(path: Path) -> MappedArray:
    """The array of a ``.npy`` file, of which only the header is read now.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is no array in row-major order, or has another size than its header says.
    """
    try:
        with path.open("rb") as file:
            shape, is_column_major, dtype = _read_header(file)
            offset, size = file.tell(), path.stat().st_size
        if is_column_major and len(shape) > 1:
            raise ValueError("it is not in row-major order")
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        expected = offset + math.prod(shape) * dtype.itemsize
        if size != expected:
            raise ValueError(f"it has {size} bytes, expected {expected}")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{path} is damaged: {error}. Delete the folder and make it again.") from error
    return MappedArray(path, shape, dtype, offset)


def map_bytes(path: Path) -> MappedArray:
    """The bytes of a file as an array of uint8."""
    return MappedArray(path, (path.stat().st_size,), np.dtype(np.uint8), 0)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    match np.lib.format.read_magic(file):
        case (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        case (2, 0):
            return np.lib.format.read_array_header_2_0(file)
        case (major, minor):
            raise ValueError(f"its format has version {major}.{minor}, expected 1.0 or 2.0")


class _ResidentPages:
    """Estimate of the mapped pages that are resident in this process, by array."""

    def __init__(self) -> None:
        self._bytes: dict[MappedArray, int] = {}
        self._total = 0

    def add(self, array: MappedArray, num_bytes: int) -> None:
        """Count pages that were read, and give all back if they are too many."""
        before = self._bytes.get(array, 0)
        after = min(array.nbytes, before + num_bytes)
        self._bytes[array] = after
        self._total += after - before
        if self._total > MAX_RESIDENT_BYTES:
            # Another thread may read meanwhile; the count is an estimate.
            touched, self._bytes, self._total = self._bytes, {}, 0
            for item in touched:
                item.release()


_resident = _ResidentPages()
_mapped: deque["weakref.ref[MappedArray]"] = deque()
"""Arrays that are mapped, the oldest map first."""
