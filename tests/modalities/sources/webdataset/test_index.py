"""The index of an archive agrees with tarfile, and archives that are not whole are one line."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from modalities.errors import DataError
from modalities.sources.remote import open_storage
from modalities.sources.webdataset.index import read_tar_index, split_member_name
from modalities.sources.webdataset.write import shard_path, write_tar

MEMBERS = {
    "b.jpg": b"photograph",
    "a.rgb.jpg": b"x" * 700,
    "a.json": b"{}",
    "nested/ä.png": b"",
    "k" * 180 + ".txt": b"a name longer than a header holds",
}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("has_times", [False, True])
def test_members_are_where_tarfile_reads_them(form: int, has_times: bool, tmp_path: Path) -> None:
    """In each form; times in fractions of a second make headers of several blocks."""
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
        for name, content in MEMBERS.items():
            # The oldest form splits a long name at a slash, into at most 155 and 100 letters.
            member = tarfile.TarInfo(name.replace("k" * 90, "k" * 90 + "/", 1))
            member.size, member.mtime = len(content), 1.5 if has_times else 1
            archive.addfile(member, io.BytesIO(content))
    index = read_tar_index(open_storage(tmp_path), "x.tar")
    content = (tmp_path / "x.tar").read_bytes()
    with tarfile.open(tmp_path / "x.tar") as archive:
        expected = {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]
    assert list(expected.values()) == list(MEMBERS.values())
    found = {
        f"{key}.{member.extension}": content[member.start : member.start + member.size]
        for key in index.keys
        for member in index.members(key)
    }
    assert found == expected
    assert index.keys == sorted({name.partition(".")[0] for name in expected}, key=str.encode)
    assert index.members("nobody") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000.jpg", ("000", "jpg")),
        ("./a/b.c/000.Seg.PNG", ("a/b.c/000", "seg.png")),
        ("none", ("none", "")),
        (".hidden", ("", "hidden")),
    ],
)
def test_a_name_is_cut_at_the_first_dot_of_its_last_part(name: str, expected: tuple[str, str]) -> None:
    assert split_member_name(name) == expected


def test_folders_and_hidden_files_are_no_members(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("deep/a.txt", "deep/.DS_Store", "._a.txt"):
        (tmp_path / "in" / name).write_text(name)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "in", arcname=".")
    assert read_tar_index(open_storage(tmp_path), "x.tar").keys == ["deep/a"]


def test_equal_members_make_equal_archives(tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        write_tar(tmp_path / name, MEMBERS.items())
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert shard_path(tmp_path, "train", "depth", 7) == tmp_path / "train" / "depth" / "shard-00007.tar"


def _whole(folder: Path) -> bytes:
    write_tar(folder / "whole.tar", MEMBERS.items())
    return (folder / "whole.tar").read_bytes()


@pytest.mark.parametrize("length", [0, 100, 512, 700, 1024, 2560, 3000])
def test_a_truncated_archive_is_one_line(length: int, tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(_whole(tmp_path)[:length])
    with pytest.raises(DataError, match=r"cut\.tar (is not a whole tar archive|ends after|is damaged)"):
        read_tar_index(open_storage(tmp_path), "cut.tar")


def test_a_damaged_header_in_the_middle_is_one_line(tmp_path: Path) -> None:
    content = bytearray(_whole(tmp_path))
    content[1024:1100] = b"?" * 76
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.tar is damaged at byte 1024"):
        read_tar_index(open_storage(tmp_path), "bad.tar")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["caf\xe9.jpg", "a.caf\xe9", "k" * 120 + "\xe9.jpg"])
def test_a_name_that_is_not_utf8_is_one_line(name: str, form: int, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=form, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo(name if form == tarfile.GNU_FORMAT else name[-90:]), io.BytesIO())
    with pytest.raises(DataError, match=r"x\.tar has the member b'.*\\xe9.*', whose name is not UTF-8: rename it"):
        read_tar_index(open_storage(tmp_path), "x.tar")


def test_a_compressed_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(gzip.compress(_whole(tmp_path)))
    with pytest.raises(DataError, match=r"x\.tar is compressed"):
        read_tar_index(open_storage(tmp_path), "x.tar")


def test_two_members_of_one_name_are_one_line(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("a.jpg", b"1"), ("a.JPG", b"2")])
    with pytest.raises(DataError, match=r"x\.tar has two members a\.jpg"):
        read_tar_index(open_storage(tmp_path), "x.tar")


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link, io.BytesIO())
    with pytest.raises(DataError, match=r"x\.tar: a\.jpg is a link"):
        read_tar_index(open_storage(tmp_path), "x.tar")
