"""Results that belong together appear together, or not at all."""

import errno
from pathlib import Path

import pytest

from modalities.errors import DataError
from modalities.storage.atomic import atomic_folder_update


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
            raise DataError(f"{partial}/depth.npy could not be written.") from full
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
    assert str(caught.value) == f"{folder} cannot be written: No space left on device."
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_another_mistake_is_told_as_it_is(folder: Path) -> None:
    with pytest.raises(DataError, match=r"^no such thing$"), atomic_folder_update(folder, "told.json"):
        raise DataError("no such thing")


def test_the_folder_that_one_stands_in_can_be_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(Path(), "new")
    assert content(folder)["told.json"] == "new"
