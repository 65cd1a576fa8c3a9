"""Rows of files are those of the arrays; reading them leaves nothing in memory, and few files stay open."""

import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lightning_modules.data import array_file
from lightning_modules.data.array_file import ArrayFile, open_array, open_bytes
from modalities.errors import DataError


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(4, 3, 2),
        np.arange(5, dtype=np.uint16),
        np.array([True, False]),
        np.zeros((0,), dtype=np.uint16),
        np.zeros((0, 7), dtype=np.float16),
    ],
    ids=["cube", "flat", "bool", "empty", "empty rows"],
)
def test_an_array_is_what_was_saved(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    found = open_array(tmp_path / "x.npy")
    assert (found.shape, found.dtype, len(found)) == (array.shape, array.dtype, len(array))
    indices = (slice(None), slice(1, 3), slice(-2, None), slice(0, 4, 2), np.array([len(array) - 1, 0])[: len(array)])
    for index in (*indices, np.arange(len(array)) % 2 == 0, *range(-len(array), len(array))):
        result = found[index]
        np.testing.assert_array_equal(result, array[index])
        assert result.dtype == array.dtype
    with pytest.raises(IndexError):
        found[len(array)]
    sent = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(sent[:], array)


def test_a_row_is_not_writable(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4))
    with pytest.raises(ValueError, match="read-only"):
        open_array(tmp_path / "x.npy")[1:][0] = 3


def test_bytes_are_the_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00one\xff")
    assert open_bytes(tmp_path / "x")[1:4].tobytes() == b"one"
    (tmp_path / "empty").write_bytes(b"")
    assert open_bytes(tmp_path / "empty")[:].tobytes() == b""


def test_what_is_no_plain_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "columns.npy", np.asfortranarray(np.ones((3, 2))))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "short.npy", np.arange(4))
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-8])
    for name, reason in (("columns", "row-major"), ("objects", "Python objects"), ("short", "152 bytes, expected 160")):
        with pytest.raises(DataError, match=rf"{re.escape(str(tmp_path))}/{name}\.npy is damaged: .*{reason}"):
            open_array(tmp_path / f"{name}.npy")


def test_a_file_that_is_gone_before_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4))
    found = open_array(tmp_path / "x.npy")
    (tmp_path / "x.npy").unlink()
    with pytest.raises(DataError, match=r"x\.npy is damaged: .*No such file"):
        found[0]


def test_a_file_that_was_cut_after_it_was_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4))
    found = open_array(tmp_path / "x.npy")
    assert found[3] == 3
    os.truncate(tmp_path / "x.npy", 150)
    with pytest.raises(DataError, match=r"x\.npy is damaged: it ends 2 bytes too early"):
        found[2]


def test_threads_read_while_files_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "MAX_OPEN_FILES", 2)
    for number in range(8):
        np.save(tmp_path / f"{number}.npy", np.arange(100) + 1000 * number)
    arrays = [open_array(tmp_path / f"{number}.npy") for number in range(8)]

    def read(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        places = zip(rng.integers(0, 8, 500).tolist(), rng.integers(0, 100, 500).tolist(), strict=True)
        return all(int(arrays[number][row]) == 1000 * number + row for number, row in places)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(4)))


def test_old_files_are_closed_where_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "MAX_OPEN_FILES", 3)
    arrays: list[ArrayFile] = []
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", np.full(3, number))
        arrays.append(open_array(tmp_path / f"{number}.npy"))
    for _ in range(2):
        assert [int(array[1]) for array in arrays] == list(range(6))
    assert [array.is_open for array in arrays] == [False, False, False, True, True, True]
