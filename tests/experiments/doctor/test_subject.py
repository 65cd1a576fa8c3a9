"""What a person writes for a source, and what it stands for."""

from pathlib import Path

import pytest

from experiments.doctor.subject import open_subject
from modalities.errors import ConfigError, UnknownNameError


def test_a_kind_is_opened_with_all_that_it_has() -> None:
    subject = open_subject("scenes", scale={"size": "32", "patch": "8"})
    assert subject.source.name == "scenes"
    assert not subject.has_config
    assert {"rgb", "depth", "caption", "metadata"} <= set(subject.modalities)
    assert subject.config.scale.size == 32


def test_a_config_brings_its_arms_and_its_scale() -> None:
    subject = open_subject("quickstart")
    assert subject.has_config
    assert len(subject.modalities) == 21
    assert subject.config.scale.size == 64
    assert subject.config.data.train == 4608


def test_names_and_presets_choose_what_is_examined() -> None:
    assert tuple(open_subject("scenes", names=["depth", "rgb"]).modalities) == ("depth", "rgb")
    assert len(open_subject("quickstart", names=["fourm_7"]).modalities) == 7


def test_settings_make_it_a_run() -> None:
    subject = open_subject("scenes", ["model.size=nano", "data.train=7"], names=["rgb"])
    assert subject.has_config
    assert subject.config.data.train == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [("scnes", "Did you mean 'scenes'"), ("nowhere.yaml", "No config named 'nowhere.yaml'")],
)
def test_what_is_no_source_is_one_line(text: str, expected: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=expected):
        open_subject(text)


def test_a_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file: expected a folder, KIND:PATH"):
        open_subject(str(tmp_path / "photo.jpg"))
