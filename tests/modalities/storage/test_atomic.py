"""Files and folders appear whole or not at all, and JSON that cannot be read is one line."""

import errno
from pathlib import Path

import pytest

from modalities.errors import CheckpointError, DataError
from modalities.storage.atomic import atomic_folder, atomic_folder_update, read_json, read_json_object


def write(folder: Path, content: str) -> None:
    with atomic_folder_update(folder, "told.json") as partial:
        (partial / "input.png").write_text(content)
        (partial / "told.json").write_text(content)


def fail(folder: Path, *, nested: bool) -> None:
    """Write until the disk is full, by oneself or by a writer that tells of it in its own words."""
    full = OSError(errno.ENOSPC, "No space left on device")
    with atomic_folder_update(folder, "told.json") as partial:
        (partial / "input.png").write_text("new")
        if nested:
            raise DataError(f"{partial}/depth.npy cannot be written.") from full
        raise full


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An earlier result beside somebody's notes."""
    made = tmp_path / "deep" / "out"
    write(made, "old")
    (made / "notes.txt").write_text("mine")
    return made


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_second_result_takes_the_place_of_the_first_and_leaves_the_rest(folder: Path) -> None:
    write(folder, "new")
    assert content(folder) == {"input.png": "new", "told.json": "new", "notes.txt": "mine"}
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_full_disk_leaves_the_first_result_whole(nested: bool, folder: Path) -> None:
    before = content(folder)
    with pytest.raises(DataError) as caught:
        fail(folder, nested=nested)
    assert (
        str(caught.value)
        == f"{folder} cannot be written: No space left on device. Free some space or choose another place."
    )
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_another_mistake_is_told_as_it_is(folder: Path) -> None:
    with pytest.raises(DataError, match=r"^no such thing$"), atomic_folder_update(folder, "told.json"):
        raise DataError("no such thing")


def test_the_folder_that_one_stands_in_can_be_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(Path(), "new")
    assert content(folder)["told.json"] == "new"


def test_a_folder_takes_its_place_when_all_went_well(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "shard"
    for content in ("first", "second"):
        with atomic_folder(folder) as partial:
            (partial / "x").write_text(content)
            assert not (folder / "x").exists() or (folder / "x").read_text() == "first"
        assert (folder / "x").read_text() == content
    assert [path.name for path in folder.parent.iterdir()] == ["shard"]


def test_a_folder_is_left_as_it_was_when_not(tmp_path: Path) -> None:
    folder = tmp_path / "shard"
    with atomic_folder(folder) as partial:
        (partial / "x").write_text("first")
    with pytest.raises(DataError), atomic_folder(folder) as partial:
        (partial / "no" / "x").write_text("second")
    assert (folder / "x").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught, atomic_folder(tmp_path / "file" / "shard"):
        pass
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'shard'} cannot be written: ")
    assert "\n" not in str(caught.value)


def test_what_is_not_json_is_one_line_of_the_error_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(CheckpointError, match=r"a\.json is missing\.$"):
        read_json(path, CheckpointError)
    path.write_text("{")
    with pytest.raises(DataError, match=r"a\.json cannot be read as JSON: Expecting"):
        read_json(path)
    path.write_text("[1]")
    assert read_json(path) == [1]
    with pytest.raises(DataError, match=r"a\.json holds list, expected a JSON object\.$"):
        read_json_object(path)
