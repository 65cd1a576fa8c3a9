"""Columns come back as they were written, and what is damaged says so in one line."""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.data import shards
from lightning_modules.data.shards import (
    MANIFEST,
    read_column,
    read_manifest,
    write_column,
    write_manifest,
)
from modalities.errors import DataError

EQUAL: list[Any] = [np.full((2, 3), number, np.float32) for number in range(4)]
RAGGED: list[Any] = [np.arange(count, dtype=np.uint16) for count in (3, 0, 5, 1)]
MISSING: list[Any] = [None, np.array([1, 2], np.uint16), None, np.array([3, 4], np.uint16), None]
NONE: list[Any] = [None, None, None]


def check(found: Any, values: list[Any]) -> None:
    """Hold every value of a column against what was written."""
    assert len(found) == len(values)
    for number in reversed(range(len(values))):
        if values[number] is None:
            assert found[number] is None
        else:
            np.testing.assert_array_equal(found[number], values[number])
            assert found[number].dtype == values[number].dtype


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("values", [EQUAL, RAGGED, MISSING, NONE], ids=["equal", "ragged", "missing", "none"])
def test_a_column_comes_back(values: list[Any], in_memory: bool, tmp_path: Path) -> None:
    write_column(tmp_path, "x", values)
    found = read_column(tmp_path, "x", in_memory=in_memory)
    check(found, values)
    assert isinstance(found.values, np.memmap) is not in_memory


@given(counts=st.lists(st.none() | st.integers(0, 4), min_size=1, max_size=6))
def test_any_mixture_of_lengths_comes_back(counts: list[int | None], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("column")
    values = [None if n is None else np.arange(n, dtype=np.uint16) + 7 * i for i, n in enumerate(counts)]
    values = [None if value is None else value.astype(np.uint16) for value in values]
    write_column(folder, "x", values)
    check(read_column(folder, "x"), values)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_column(tmp_path, "x")
    assert str(caught.value) == f"{tmp_path} has no column 'x'. Make it again."


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"], ids=["empty", "text", "header"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_column_that_is_no_array(content: bytes, in_memory: bool, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match="Delete the folder and make it again") as caught:
        read_column(tmp_path, "x", in_memory=in_memory)
    assert str(caught.value).startswith(f"{tmp_path / 'x'}.npy is damaged: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_column_that_ends_too_early(in_memory: bool, tmp_path: Path) -> None:
    write_column(tmp_path, "x", EQUAL)
    os.truncate(tmp_path / "x.npy", (tmp_path / "x.npy").stat().st_size - 8)
    with pytest.raises(DataError, match=r"x\.npy is damaged") as caught:
        read_column(tmp_path, "x", in_memory=in_memory)
    assert "\n" not in str(caught.value)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A shard of two files."""
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"three")
    write_manifest(tmp_path, {"count": 2})
    return tmp_path


def test_a_shards_facts_come_back(sealed: Path) -> None:
    facts = read_manifest(sealed, verify_checksums=True)
    assert facts["count"] == 2
    # CRC-32 of "one", as the `crc32` command gives it.
    assert facts["files"]["a"] == {"bytes": 3, "crc32": 0x7A6C86F1}
    assert set(facts["files"]) == {"a", "b"}


def test_a_shard_without_a_manifest(sealed: Path) -> None:
    (sealed / MANIFEST).unlink()
    with pytest.raises(DataError, match=r"has no manifest\.json: it was not written to the end"):
        read_manifest(sealed)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b'{"count": 2}'], ids=["cut", "bytes", "list", "less"])
def test_a_shard_whose_manifest_is_damaged(content: bytes, sealed: Path) -> None:
    (sealed / MANIFEST).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_manifest(sealed)
    assert str(caught.value).startswith(
        (
            f"{sealed / MANIFEST} is damaged: ",
            f"{sealed / MANIFEST} cannot be read as JSON: ",
            f"{sealed / MANIFEST} holds ",
        )
    )
    assert "\n" not in str(caught.value)


def test_a_shard_that_lost_a_file(sealed: Path) -> None:
    (sealed / "b").unlink()
    with pytest.raises(DataError) as caught:
        read_manifest(sealed)
    assert str(caught.value) == f"{sealed / 'b'} is missing. Delete {sealed} and make it again."


def test_a_shard_whose_file_changed_its_size(sealed: Path) -> None:
    (sealed / "b").write_bytes(b"thre")
    with pytest.raises(DataError, match="has 4 bytes, expected 5: it is truncated or was changed"):
        read_manifest(sealed)


def test_a_change_that_keeps_the_size_is_found_by_the_checksum(sealed: Path) -> None:
    (sealed / "b").write_bytes(b"thrEe")
    read_manifest(sealed)
    with pytest.raises(DataError, match="is damaged: its checksum is"):
        read_manifest(sealed, verify_checksums=True)


def test_checksums_go_on_over_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert shards.checksum(tmp_path / "x") == zlib.crc32(content)
