"""Rows that tokenizers read: the preprocessed values of one modality, or of all that share a tokenizer.

Values of one row each are read and preprocessed when a batch asks for them. Those of several rows, such as the
instances of an image, are preprocessed once into a file without a name, which goes with the process.
"""

import itertools
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.data.array_file import Descriptor, read_exactly
from lightning_modules.data.raw import RawStore, RawValues
from modalities.errors import DataError
from modalities.spec import Modality, SequenceModality


def load_rows(raw: RawStore, max_rows: int) -> Tensor:
    """The rows of all modalities of a store, one modality after the other; at most ``max_rows``, evenly from each.

    Raises:
        DataError: No sample has a value of these modalities.
    """
    parts = [
        part
        for name in raw
        for part in preprocessed_rows(raw.modalities[name], _present_values(raw[name]), _share(raw, max_rows))
    ]
    if not any(len(part) for part in parts):
        raise _no_rows(raw)
    return rows_tensor(parts)


def preprocessed_rows(modality: Modality, values: Iterable[Any], max_rows: int) -> list[NDArray[Any]]:
    """The preprocessed rows of each value that is not missing, at most ``max_rows`` in all."""
    return list(_iterate_rows(modality, values, max_rows))


def rows_tensor(parts: Sequence[NDArray[Any]]) -> Tensor:
    """Rows end to end: int64 for classes, else float32."""
    rows = np.concatenate(parts)
    return torch.from_numpy(rows.astype(np.int64 if rows.dtype.kind in "iu" else np.float32, copy=False))


class StreamedRows:
    """The rows that `load_rows` gives, by number, without holding them."""

    def __init__(self, raw: RawStore, max_rows: int, scratch: Path) -> None:
        """Count the rows.

        Args:
            scratch: Folder for rows of values of several rows.

        Raises:
            DataError: No sample has a value of these modalities.
        """
        share = _share(raw, max_rows)
        self._parts = [
            _PartRows(modality, raw[name], share, scratch)
            if isinstance(modality, SequenceModality)
            else _ValueRows(modality, raw[name], share)
            for name, modality in raw.modalities.items()
        ]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        if not len(self):
            raise _no_rows(raw)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, indices: Tensor) -> Tensor:
        """The rows ``indices``, one after the other."""
        numbers = indices.numpy()
        parts = np.searchsorted(self._starts, numbers, side="right") - 1
        places = zip(parts.tolist(), (numbers - self._starts[parts]).tolist(), strict=True)
        return rows_tensor([self._parts[part][number] for part, number in places])


class _ValueRows:
    """Values of one row each, in their order."""

    def __init__(self, modality: Modality, values: RawValues, max_rows: int) -> None:
        self._modality, self._values = modality, values
        self._samples = np.fromiter(itertools.islice(values.present(), max_rows), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, number: int) -> NDArray[Any]:
        rows: NDArray[Any] = self._modality.preprocess(self._values[int(self._samples[number])])
        assert len(rows) == 1, f"{self._modality.name} gave {len(rows)} rows for one value"
        return rows


class _PartRows:
    """Rows of values of several rows, in a file without a name."""

    def __init__(self, modality: Modality, values: RawValues, max_rows: int, scratch: Path) -> None:
        self._shape: tuple[int, ...] = ()
        self._dtype, self._count = np.dtype(np.float32), 0
        with tempfile.TemporaryFile(dir=scratch) as file:
            for rows in _iterate_rows(modality, _present_values(values), max_rows):
                if len(rows):
                    self._shape, self._dtype = rows.shape[1:], rows.dtype
                    self._count += len(rows)
                    file.write(np.ascontiguousarray(rows).tobytes())
            file.flush()
            # The file has no name: it goes with its last descriptor.
            self._file = Descriptor(os.dup(file.fileno()))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> NDArray[Any]:
        size = math.prod(self._shape) * self._dtype.itemsize
        content = read_exactly(self._file.number, size, number * size)
        return np.frombuffer(content, dtype=self._dtype).reshape(1, *self._shape)


def _iterate_rows(modality: Modality, values: Iterable[Any], max_rows: int) -> Iterator[NDArray[Any]]:
    count = 0
    for value in values:
        if count >= max_rows:
            return
        if value is None:
            continue
        rows = modality.preprocess(value)
        yield rows[: max_rows - count]
        count += len(rows)


def _present_values(values: RawValues) -> Iterator[Any]:
    return (values[number] for number in values.present())


def _share(raw: RawStore, max_rows: int) -> int:
    """Rows of each modality."""
    return -(-max_rows // len(raw))


def _no_rows(raw: RawStore) -> DataError:
    return DataError(
        f"No sample has a value of {' or '.join(raw)}, so that its tokenizer has nothing to be trained on: "
        "leave the modality out, or add data."
    )
