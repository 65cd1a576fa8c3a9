"""Columns come back as they were written, and what is damaged says so in one line."""

import json
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
    read_records,
    write_column,
    write_manifest,
    write_records,
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


@pytest.mark.parametrize("values", [EQUAL, RAGGED, MISSING, NONE], ids=["equal", "ragged", "missing", "none"])
def test_a_column_comes_back(values: list[Any], tmp_path: Path) -> None:
    write_column(tmp_path, "x", values)
    found = read_column(tmp_path, "x")
    check(found, values)
    assert found.has_value().tolist() == [value is not None for value in values]


RECORDS: list[Any] = [{"a": [1, 2]}, None, "two\u2028lines\nand “more”", [], 4.5]


def test_records_come_back_whatever_is_in_them(tmp_path: Path) -> None:
    write_records(tmp_path, "x", RECORDS)
    found = read_records(tmp_path, "x")
    assert [found[number] for number in (3, 0, 4, 1, 2)] == [RECORDS[number] for number in (3, 0, 4, 1, 2)]
    assert found.has_value().tolist() == [True, False, True, True, True]
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()] == RECORDS
    write_records(tmp_path, "empty", [])
    assert len(read_records(tmp_path, "empty")) == 0


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
def test_a_column_that_is_no_array(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match="Delete the folder and make it again") as caught:
        read_column(tmp_path, "x")
    assert str(caught.value).startswith(f"{tmp_path / 'x'}.npy is damaged: ")
    assert "\n" not in str(caught.value)


def test_a_column_that_ends_too_early(tmp_path: Path) -> None:
    write_column(tmp_path, "x", EQUAL)
    os.truncate(tmp_path / "x.npy", (tmp_path / "x.npy").stat().st_size - 8)
    with pytest.raises(DataError, match=r"x\.npy is damaged") as caught:
        read_column(tmp_path, "x")
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
    # The file is shorter than an end, so that both ends are the whole of it.
    assert facts["files"]["a"] == {"bytes": 3, "crc32": 0x7A6C86F1, "ends_crc32": zlib.crc32(b"oneone")}
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


@pytest.mark.parametrize("position", [0, 4095, 49_000, 49_999])
def test_a_change_at_an_end_that_keeps_the_size_is_found_whenever_a_column_is_opened(
    position: int, tmp_path: Path
) -> None:
    content = np.random.default_rng(0).bytes(50_000)
    (tmp_path / "x").write_bytes(content)
    write_manifest(tmp_path, {})
    (tmp_path / "x").write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    with pytest.raises(DataError, match=r"x is damaged: its checksum is \d+, expected \d+\. Delete"):
        read_manifest(tmp_path)


def test_a_change_in_the_middle_is_found_where_everything_is_read(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(50_000)
    (tmp_path / "x").write_bytes(content)
    write_manifest(tmp_path, {})
    (tmp_path / "x").write_bytes(content[:20_000] + bytes([content[20_000] ^ 1]) + content[20_001:])
    read_manifest(tmp_path)
    with pytest.raises(DataError, match="is damaged: its checksum is"):
        read_manifest(tmp_path, verify_checksums=True)


def test_checksums_go_on_over_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert shards.checksum(tmp_path / "x") == zlib.crc32(content)
