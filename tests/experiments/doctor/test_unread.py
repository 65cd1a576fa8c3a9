"""Folders that no modality reads are told, misspelt ones with the name that was meant."""

from pathlib import Path

from experiments.doctor.findings import Finding, Severity
from experiments.doctor.subject import open_subject
from experiments.doctor.unread import unread_folders


def found(folder: Path, *files: str, overrides: tuple[str, ...] = ()) -> list[Finding]:
    for name in ("caption/0.txt", *files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a dog")
    return list(unread_folders(open_subject(f"folder:{folder}", overrides)))


def test_a_misspelt_folder_is_a_warning(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "dpeth/0.npy", "dpeth/deeper/1.npy")
    assert finding.severity is Severity.warning
    assert finding.message.startswith(f"{tmp_path} has a folder dpeth (2 files) of no installed modality")
    assert "did you mean 'depth'?" in finding.message


def test_another_folder_is_a_note_also_below_a_split(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for name in ("train/caption/0.txt", "validation/caption/1.txt", "train/spectra/0.npy", "train/caption/.x/0.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a dog")
    (finding,) = unread_folders(open_subject(f"folder:{tmp_path}"))
    assert finding.severity is Severity.note
    assert "a folder spectra (1 files)" in finding.message


def test_folders_that_a_setting_names_and_files_without_values_are_not_told(tmp_path: Path) -> None:
    overrides = ("data.source.options.columns={rgb: images}",)
    assert found(tmp_path, "images/0.png", "docs/readme.md", "loose.txt", overrides=overrides) == []


def test_other_sources_have_no_folders() -> None:
    assert list(unread_folders(open_subject("scenes", names=["rgb"]))) == []
