"""Arrays in files, of which rows are read when they are asked for.

Rows are read into memory of their own, not mapped: mapped pages count as the process's memory, and giving them back
costs a page fault for each further row (docs/performance.md).
"""

import math
import os
import weakref
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from modalities.errors import DataError

MAX_OPEN_FILES = 512
"""Files that one process keeps open at once; systems allow 1,024 or more."""


class ArrayFile:
    """An array in a file, opened when it is first read. Pickling keeps the path alone."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._offset = offset
        self._file: Descriptor | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | NDArray[Any]) -> NDArray[Any]:
        """One row, consecutive rows, or the rows of an array of indices. One row and consecutive ones are read-only.

        Raises:
            IndexError: There is no such row.
            DataError: The file is gone or was changed.
        """
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            rows = self._read(start, max(0, stop - start))
            return rows if step == 1 else rows[::step]
        if isinstance(index, np.ndarray):
            numbers = np.flatnonzero(index) if index.dtype == bool else index
            found = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
            for place, number in enumerate(numbers.tolist()):
                found[place] = self[number]
            return found
        return self._read(range(len(self))[index], 1).reshape(self.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    @property
    def is_open(self) -> bool:
        """True between the first read and `close`."""
        return self._file is not None

    def close(self) -> None:
        """Close the file once nobody reads it."""
        self._file = None

    def _read(self, start: int, count: int) -> NDArray[Any]:
        size = count * self._row_bytes
        if size == 0:
            return np.zeros((count, *self.shape[1:]), dtype=self.dtype)
        try:
            # Another thread may close it meanwhile, which ends with this reference.
            file = self._file or self._open()
            content = read_exactly(file.number, size, self._offset + start * self._row_bytes)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} is damaged: {error}. Delete its folder and make it again.") from error
        return np.frombuffer(content, dtype=self.dtype).reshape(count, *self.shape[1:])

    def _open(self) -> "Descriptor":
        file = self._file = Descriptor(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
        _open_files.append(weakref.ref(self))
        while len(_open_files) > MAX_OPEN_FILES:
            oldest = _open_files.popleft()()
            if oldest is not None:
                oldest.close()
        return file


class Descriptor:
    """The number of an open file, which is closed with the last reference to it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def read_exactly(descriptor: int, size: int, offset: int) -> bytes:
    """``size`` bytes of an open file from ``offset`` on; its position is neither used nor changed.

    Raises:
        ValueError: It has fewer.
    """
    content = os.pread(descriptor, size, offset)
    while len(content) < size:  # The system reads at most 2 GB at once.
        more = os.pread(descriptor, size - len(content), offset + len(content))
        if not more:
            raise ValueError(f"it ends {size - len(content)} bytes too early")
        content += more
    return content


def open_array(path: Path) -> ArrayFile:
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
        if not shape:
            raise ValueError("it holds a single number")
        expected = offset + math.prod(shape) * dtype.itemsize
        if size != expected:
            raise ValueError(f"it has {size} bytes, expected {expected}")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{path} is damaged: {error}. Delete the folder and make it again.") from error
    return ArrayFile(path, shape, dtype, offset)


def open_bytes(path: Path) -> ArrayFile:
    """The bytes of a file as an array of uint8."""
    return ArrayFile(path, (path.stat().st_size,), np.dtype(np.uint8), 0)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    match np.lib.format.read_magic(file):
        case (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        case (2, 0):
            return np.lib.format.read_array_header_2_0(file)
        case (major, minor):
            raise ValueError(f"its format has version {major}.{minor}, expected 1.0 or 2.0")


_open_files: deque["weakref.ref[ArrayFile]"] = deque()
"""Arrays whose files are open, the one that was opened first in front."""
