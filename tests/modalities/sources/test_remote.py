"""Paths and URLs are read by one interface, by ranges; what goes wrong is one line that names the file."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from modalities.errors import ConfigError, DataError, UnavailableError
from modalities.sources.remote import Storage, open_storage, split_place

FILES = {"a.txt": b"0123456789", "deep/er/b.bin": bytes(range(256)), "deep/c.txt": b""}


@pytest.fixture(params=["path", "file_url", "memory_url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory_url":
        memory: Any = pytest.importorskip("fsspec").filesystem("memory")
        memory.store.clear()
        for name, content in FILES.items():
            memory.pipe_file(f"/bucket/data/{name}", content)
        return open_storage("memory://bucket/data/")
    for name, content in FILES.items():
        (tmp_path / "data set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data set" / name).write_bytes(content)
    place = tmp_path / "data set"
    return open_storage(place.as_uri() if request.param == "file_url" else place)


def test_files_are_listed_in_the_order_of_their_names(storage: Storage) -> None:
    assert [(entry.name, entry.size) for entry in storage.walk()] == [
        (name, len(FILES[name])) for name in sorted(FILES)
    ]
    assert [entry.name for entry in storage.walk("deep")] == ["deep/c.txt", "deep/er/b.bin"]
    assert all(entry.version for entry in storage.walk())


def test_a_range_of_bytes_is_read(storage: Storage) -> None:
    assert storage.read("a.txt", 2, 5) == b"234"
    assert storage.read("a.txt", 7) == b"789"
    assert storage.read("deep/er/b.bin") == FILES["deep/er/b.bin"]
    assert storage.read("deep/c.txt") == b""
    with storage.open("a.txt") as file:
        file.seek(4)
        assert file.read(2) == b"45"


def test_a_range_beyond_the_end_is_one_line(storage: Storage) -> None:
    with pytest.raises(DataError, match=r"a\.txt ends at byte 10, expected 12: it is truncated or was changed\."):
        storage.read("a.txt", 8, 12)


def test_what_is_not_there_is_one_line(storage: Storage) -> None:
    with pytest.raises(DataError, match=r"There is no file .*nope\.txt\."):
        storage.read("nope.txt")
    with pytest.raises(DataError, match=r"nope"):
        storage.walk("nope")
    with pytest.raises(DataError, match=r"a\.txt is not a folder"):
        storage.walk("a.txt")


def test_it_survives_pickling_and_names_files_in_full(storage: Storage) -> None:
    again: Storage = pickle.loads(pickle.dumps(storage))
    assert again.read("a.txt", 0, 1) == b"0"
    assert storage.origin("a.txt").endswith("data/a.txt") or storage.origin("a.txt").endswith("data set/a.txt")
    path = storage.local_path("a.txt")
    assert path is None or path.read_bytes() == FILES["a.txt"]


def test_a_changed_file_has_another_version(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    before = open_storage(tmp_path).walk()
    file.write_text("two")
    assert open_storage(tmp_path).walk() != before


def test_an_unknown_kind_of_url_is_one_line() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ConfigError, match=r"warp://drive/a cannot be opened: Protocol not known: warp\."):
        open_storage("warp://drive/a").walk()


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"fsspec, which is not installed: pip install 'fourm-lab\[remote\]'\."):
        open_storage("memory://a").walk()


def test_options_of_a_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Storage options are for URLs"):
        open_storage(tmp_path, {"anon": True})


@pytest.mark.parametrize(
    ("place", "expected"),
    [("a/b.tar", ("a", "b.tar")), ("b.tar", (".", "b.tar")), ("/b.tar", ("/", "b.tar")), ("s3://k/b", ("s3://k", "b"))],
)
def test_a_place_has_a_folder_and_a_name(place: str, expected: tuple[str, str]) -> None:
    assert split_place(place) == expected


def test_links_that_lead_nowhere_or_in_a_circle_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file.txt").write_text("x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    storage = open_storage(tmp_path)
    assert [entry.name for entry in storage.walk()] == ["a/file.txt", "a/gone.txt", "b/file.txt", "b/gone.txt"]
    with pytest.raises(DataError, match=r"There is no file .*gone\.txt"):
        storage.read("a/gone.txt")


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        (TimeoutError("no answer"), True),
        (OSError(5, "Input/output error"), True),
        (RuntimeError("503 Slow Down"), True),
        (PermissionError(13, "Permission denied"), False),
        (FileNotFoundError(), False),
    ],
)
def test_what_may_pass_is_told_from_what_lasts(
    error: Exception, may_pass: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(DataError) as found:
        open_storage(tmp_path).read("a.txt")
    assert isinstance(found.value, UnavailableError) == may_pass
