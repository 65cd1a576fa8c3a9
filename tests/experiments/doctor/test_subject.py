"""What a person writes for a source, and what it stands for."""

from pathlib import Path

import pytest

from experiments.doctor.subject import open_subject
from modalities.errors import ConfigError, DataError, UnknownNameError


def test_a_kind_is_opened_with_all_that_it_has() -> None:
    subject = open_subject("scenes", scale={"size": "32", "patch": "8"})
    assert subject.source.name == "scenes"
    assert not subject.has_run
    assert {"rgb", "depth", "caption", "metadata"} <= set(subject.modalities)
    assert subject.config.scale.size == 32


def test_a_config_brings_its_arms_and_its_scale() -> None:
    subject = open_subject("quickstart")
    assert subject.has_run
    assert len(subject.modalities) == 21
    assert subject.config.scale.size == 64
    assert subject.config.data.train == 4608


def test_names_and_presets_choose_what_is_examined() -> None:
    assert tuple(open_subject("scenes", names=["depth", "rgb"]).modalities) == ("depth", "rgb")
    assert len(open_subject("quickstart", names=["fourm_7"]).modalities) == 7


def test_settings_make_it_a_run() -> None:
    subject = open_subject("scenes", ["model.size=nano", "data.train=7"], names=["rgb"])
    assert subject.has_run
    assert subject.config.data.train == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [("scnes", "is no data"), ("nowhere.yaml", "No config named 'nowhere.yaml'")],
)
def test_what_is_no_source_is_one_line(text: str, expected: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=expected):
        open_subject(text)


def test_a_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"photo\.jpg' is no data"):
        open_subject(str(tmp_path / "photo.jpg"))


def test_a_path_alone_is_a_folder_which_is_said(tmp_path: Path) -> None:
    (tmp_path / "caption").mkdir()
    (tmp_path / "caption" / "one.txt").write_text("a dog")
    subject = open_subject(str(tmp_path), ["data.source.options={license: CC-BY-4.0}"])
    assert tuple(subject.modalities) == ("caption",)
    assert subject.notes == (f"{tmp_path} is read as a folder; write KIND:{tmp_path} for another kind of source.",)
    assert subject.source.license == "CC-BY-4.0"
    assert subject.config.data.train is None
    assert not subject.has_run


def test_a_folder_without_a_modality_says_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.txt").write_text("a dog")
    with pytest.raises(DataError, match="has no modality that is installed; those are bounding_boxes"):
        open_subject(f"folder:{tmp_path}")
