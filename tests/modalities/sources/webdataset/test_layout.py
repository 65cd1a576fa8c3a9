"""Which archives make which shards, in each form that sets of tars have."""

import re
from pathlib import Path

import pytest

from modalities.errors import ConfigError, DataError
from modalities.sources.remote import open_storage
from modalities.sources.webdataset.layout import find_shards, split_pattern


def _make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def _found(root: Path, pattern: str = "") -> list[tuple[str, str, dict[str, str]]]:
    shards = find_shards(open_storage(root), pattern)
    return [(item.split, item.name, {key: entry.name for key, entry in item.tars.items()}) for item in shards]


def test_one_archive_a_modality_and_shard(tmp_path: Path) -> None:
    _make(tmp_path, "rgb/s-1.tar", "depth/s-1.tar", "rgb/s-0.tar", ".cache/x.tar", "README.md")
    assert _found(tmp_path) == [
        ("", "s-0", {"rgb": "rgb/s-0.tar"}),
        ("", "s-1", {"depth": "depth/s-1.tar", "rgb": "rgb/s-1.tar"}),
    ]


def test_folders_of_splits(tmp_path: Path) -> None:
    _make(tmp_path, "train/rgb/0.tar", "val/rgb/0.tar", "Test/depth/0.tar")
    assert _found(tmp_path) == [
        ("test", "Test/0", {"depth": "Test/depth/0.tar"}),
        ("train", "train/0", {"rgb": "train/rgb/0.tar"}),
        ("validation", "val/0", {"rgb": "val/rgb/0.tar"}),
    ]


def test_one_archive_a_shard(tmp_path: Path) -> None:
    _make(tmp_path, "a/0.tar", "a/1.tar", "b/train/0.tar", "b/validation/0.tar")
    assert _found(tmp_path / "a") == [("", "0", {"": "0.tar"}), ("", "1", {"": "1.tar"})]
    assert [item[:2] for item in _found(tmp_path / "b")] == [("train", "train/0"), ("validation", "validation/0")]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("tars", ("tars", "")),
        ("a/b/shard.tar", ("a/b", "shard.tar")),
        ("a/[rgb,depth]/s-{00..10}.tar", ("a", "[rgb,depth]/s-{00..10}.tar")),
        ("s3://k/{modality}/s.tar", ("s3://k", "{modality}/s.tar")),
        ("s-{0..1}.tar", (".", "s-{0..1}.tar")),
        ("/{modality}/a.tar", ("/", "{modality}/a.tar")),
    ],
)
def test_a_pattern_begins_at_the_first_part_that_has_one(place: str, expected: tuple[str, str]) -> None:
    assert split_pattern(place) == expected


def test_a_pattern_chooses_archives(tmp_path: Path) -> None:
    _make(tmp_path, *(f"{name}/s-{number:02d}.tar" for name in ("rgb", "depth", "normals") for number in range(12)))
    found = _found(tmp_path, "[rgb,depth]/s-{00..10}.tar")
    assert [name for _, name, _ in found] == [f"s-{number:02d}" for number in range(11)]
    assert all(set(tars) == {"rgb", "depth"} for _, _, tars in found)
    assert len(_found(tmp_path, "{modality}/s-{09..}.tar")) == 3
    assert set(_found(tmp_path, "{modality}/s-03.tar")[0][2]) == {"rgb", "depth", "normals"}


def test_a_range_that_is_not_there_in_full_is_one_line(tmp_path: Path) -> None:
    _make(tmp_path, "rgb/s-00.tar", "rgb/s-02.tar")
    with pytest.raises(DataError, match=r"has no tar 1 of 0 to 3 in \{modality\}/s-\{00\.\.03\}\.tar \(2 are missing"):
        _found(tmp_path, "{modality}/s-{00..03}.tar")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["README.md"], "There are no tars in"),
        (["0.tar", "rgb/0.tar"], "tars beside folders of tars"),
        (["0.tar", "train/0.tar"], "tars beside the folder of a split"),
        (["a/b/c.tar"], r"has the tar a/b/c\.tar, expected"),
        (["a/0.tar.gz"], r"0\.tar\.gz is compressed"),
    ],
)
def test_other_layouts_are_one_line(names: list[str], message: str, tmp_path: Path) -> None:
    _make(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        _found(tmp_path)


def test_an_unreadable_pattern_is_one_line(tmp_path: Path) -> None:
    _make(tmp_path, "rgb/0.tar")
    with pytest.raises(ConfigError, match=re.escape("'{modality}/{0..1.tar' cannot be read")):
        _found(tmp_path, "{modality}/{0..1.tar")
