"""Mapped arrays are the files' arrays; what is resident of them is bounded."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from lightning_modules.data import mapped
from lightning_modules.data.mapped import MappedArray, map_array, map_bytes
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
    found = map_array(tmp_path / "x.npy")
    assert (found.shape, found.dtype, len(found)) == (array.shape, array.dtype, len(array))
    for index in (slice(None), slice(1, 3), np.array([len(array) - 1, 0])[: len(array)]):
        np.testing.assert_array_equal(found[index], array[index])
    sent = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(sent[:], array)


def test_a_map_is_not_writable(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4))
    with pytest.raises(ValueError, match="read-only"):
        map_array(tmp_path / "x.npy")[1:][0] = 3


def test_bytes_are_the_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00one\xff")
    assert map_bytes(tmp_path / "x")[1:4].tobytes() == b"one"
    (tmp_path / "empty").write_bytes(b"")
    assert map_bytes(tmp_path / "empty")[:].tobytes() == b""


def test_what_is_no_plain_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "columns.npy", np.asfortranarray(np.ones((3, 2))))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "short.npy", np.arange(4))
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-8])
    for name, reason in (("columns", "row-major"), ("objects", "Python objects"), ("short", "152 bytes, expected 160")):
        with pytest.raises(DataError, match=rf"{re.escape(str(tmp_path))}/{name}\.npy is damaged: .*{reason}"):
            map_array(tmp_path / f"{name}.npy")


def test_a_file_that_is_gone_before_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4))
    found = map_array(tmp_path / "x.npy")
    (tmp_path / "x.npy").unlink()
    with pytest.raises(DataError, match=r"x\.npy is damaged: .*No such file"):
        found[0]


def resident_kib(path: Path) -> int:
    """Resident pages of a mapped file in this process, as the kernel counts them."""
    blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    return sum(int(size) for block in blocks if str(path) in block for size in re.findall(r"Rss: +(\d+) kB", block))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the kernel does not list resident pages")
def test_pages_are_given_back_before_they_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.arange(2 << 20, dtype=np.int64)
    np.save(tmp_path / "x.npy", content)
    total = content.nbytes >> 10
    found = map_array(tmp_path / "x.npy")
    assert found[:].sum() == content.sum()
    assert resident_kib(tmp_path / "x.npy") > 0.9 * total
    monkeypatch.setattr(mapped, "MAX_RESIDENT_BYTES", 1 << 20)
    for start in range(0, len(content), 1024):
        assert found[start] == start
        assert start == 0 or resident_kib(tmp_path / "x.npy") < 0.5 * total or start % (1 << 18)
    assert resident_kib(tmp_path / "x.npy") < 0.2 * total


def test_old_maps_end_where_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "MAX_MAPS", 3)
    arrays: list[MappedArray] = []
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", np.full(3, number))
        arrays.append(map_array(tmp_path / f"{number}.npy"))
    for _ in range(2):
        assert [int(array[1]) for array in arrays] == list(range(6))
    assert [array.is_mapped for array in arrays] == [False, False, False, True, True, True]
