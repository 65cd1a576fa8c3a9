"""A model is found by its own folder or by an ablation's record, which holds no path that a move makes wrong."""

import json
import shutil
from pathlib import Path

import pytest

from lightning_modules.checkpoints.find import find_model, record_models
from modalities.errors import DataError

NAMES = ("with/0", "without/0", "with/1", "without/1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Models of two arms and two seeds, in the order of the config, and their record."""
    folder = tmp_path / "runs" / "mine"
    models: dict[str, Path] = {}
    for name in NAMES:
        models[name] = tmp_path / "runs" / "stages" / f"model-{name.replace('/', '-')}"
        models[name].mkdir(parents=True)
        (models[name] / "model.safetensors").write_text(name)
    folder.mkdir()
    (folder / "ablation.json").write_text(json.dumps({"models": record_models(folder, models)}))
    return folder


def weights(folder: Path) -> str:
    return (folder / "model.safetensors").read_text()


@pytest.mark.parametrize(
    ("arm", "seed", "expected"),
    [(None, None, "without/1"), ("with", None, "with/1"), (None, 0, "without/0"), ("with", 0, "with/0")],
)
def test_the_last_arm_and_the_last_seed_are_taken_if_not_given(
    arm: str | None, seed: int | None, expected: str, root: Path
) -> None:
    assert weights(find_model(root, arm, seed)) == expected


def test_a_model_is_its_own_folder(root: Path) -> None:
    folder = find_model(root)
    assert find_model(folder) == folder


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_root_that_was_copied_or_moved_is_complete(is_moved: bool, root: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in (root / "ablation.json").read_text()
    other = tmp_path / "elsewhere é" / "given"
    shutil.copytree(root.parent, other)
    if is_moved:
        shutil.rmtree(root.parent)
    found = find_model(other / "mine", "with")
    assert found.is_relative_to(other)
    assert weights(found) == "with/1"


def test_an_ablation_without_its_stages_says_how_to_move_it(root: Path) -> None:
    shutil.rmtree(root.parent / "stages")
    with pytest.raises(
        DataError, match=r"The model without/1 of .* is missing: .*Move or copy .* with its folder stages"
    ):
        find_model(root)


def test_an_unknown_arm_is_told_with_those_there_are(root: Path) -> None:
    with pytest.raises(DataError, match=r"no model of arm 'wiht' and seed None; it has with/0, without/0, with/1"):
        find_model(root, "wiht")


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "[]", '{"models": ', '{"models": null}', '{"models": {}}', '{"models": {"all/0": 3}}']
)
def test_a_damaged_record_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text(content)
    with pytest.raises(DataError, match=r"ablation\.json (cannot be read as JSON|holds list|does not list)") as caught:
        find_model(tmp_path)
    assert "\n" not in str(caught.value)
