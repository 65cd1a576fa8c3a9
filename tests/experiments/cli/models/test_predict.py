"""From a photograph to pictures and records, by the command that a person types."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from experiments.cli.main import main
from experiments.cli.models.results import PICTURE_SIZE
from lightning_modules.checkpoints.model import load_model
from lightning_modules.checkpoints.tokenizer import tokenizer_fingerprint
from modalities.errors import CheckpointError


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of a person, wider than high, as a camera's file."""
    file = tmp_path_factory.mktemp("photographs") / "photo.jpg"
    pixels = np.asarray(data.astronaut())  # type: ignore[no-untyped-call]
    Image.fromarray(pixels[:400]).save(file, quality=92)
    return file


def predict(photo: Path, model: Path, out: Path, to: str = "depth,semseg,caption,boxes", *more: str) -> int:
    return main(["predict", str(photo), "--model", str(model), "--to", to, "--out", str(out), *more])


def test_a_photograph_becomes_pictures_and_records(
    finished: Path, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photograph, finished / "mini", tmp_path) == 0
    out = capsys.readouterr().out
    assert "answers on photographs are poor" in out
    assert "24 procedural scenes at 32 × 32 pixels" in " ".join(out.split())
    told = json.loads((tmp_path / "prediction.json").read_text())
    assert list(told) == ["depth", "semseg", "caption", "bounding_boxes"]
    for name in ("depth", "semseg"):
        with Image.open(tmp_path / told[name]["picture"]) as picture:
            assert min(picture.size) >= PICTURE_SIZE
        assert (tmp_path / told[name]["file"]).is_file()
    assert isinstance(told["caption"]["value"], str)
    assert isinstance(told["bounding_boxes"]["value"], list)


def test_the_photograph_is_seen_in_its_middle_as_a_square(finished: Path, photograph: Path, tmp_path: Path) -> None:
    assert predict(photograph, finished / "mini", tmp_path, "depth") == 0
    with Image.open(tmp_path / "input.png") as picture, Image.open(photograph) as whole:
        seen = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BOX))
        middle = whole.crop((56, 0, 456, 400)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(seen.astype(int) - np.asarray(middle).astype(int)).mean() < 4


def test_every_target_of_the_largest_arm_can_be_asked_for(finished: Path, photograph: Path, tmp_path: Path) -> None:
    from modalities.presets import FOURM_21

    names = [name for name in FOURM_21 if name != "t5_caption"]
    assert predict(photograph, finished / "mini", tmp_path, ",".join(names)) == 0
    told = json.loads((tmp_path / "prediction.json").read_text())
    assert set(told) == set(names)
    assert told["clip"]["labels"] == "proxy"
    short = predict(photograph, finished / "mini", tmp_path / "short", "boxes,instances,poses,palette")
    assert short == 0
    told = json.loads((tmp_path / "short" / "prediction.json").read_text())
    assert set(told) == {"bounding_boxes", "sam_instances", "human_poses", "color_palette"}


def test_an_arm_of_the_ablation_can_be_chosen(
    finished: Path, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photograph, finished / "mini", tmp_path / "a", "canny_edges", "--arm", "fourm_7") == 1
    assert "No target of this model named 'canny_edges'" in capsys.readouterr().err
    assert predict(photograph, finished / "mini", tmp_path / "a", "depth", "--arm", "none") == 1
    assert "has no model of arm 'none'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("gone.jpg", None, "There is no file"),
        ("notes.txt", b"hello", "has type '.txt', expected one of .png, .jpg"),
        ("empty.png", b"", "is empty, expected an image"),
        ("cut.jpg", "half", "is not a whole image"),
    ],
)
def test_what_is_no_image(
    name: str,
    content: bytes | str | None,
    expected: str,
    finished: Path,
    photograph: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / name
    if content is not None:
        whole = photograph.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    assert predict(file, finished / "mini", tmp_path / "out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert expected in lines[0]
    assert str(file) in lines[0]
    assert not (tmp_path / "out").exists()


def test_wrong_targets(finished: Path, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for to, expected in (
        ("dpeth", "Did you mean 'depth'?"),
        ("t5_caption", "t5_caption is an input only"),
        (",", "No target named ''"),
    ):
        assert predict(photograph, finished / "mini", tmp_path / "out", to) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert expected in lines[0]
    assert not (tmp_path / "out").exists()


def test_folders_that_are_no_model(
    finished: Path, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photograph, tmp_path, tmp_path / "out") == 1
    assert "neither a model's folder nor an ablation's" in capsys.readouterr().err
    model = next((finished / "stages").glob("model-fourm_7-0-*"))
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert predict(photograph, broken, tmp_path / "out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"{weights} cannot be read" in lines[0]
    (broken / "config.json").write_text((broken / "config.json").read_text().replace('"depth"', '"dpeth"'))
    shutil.copy(model / "model.safetensors", weights)
    assert predict(photograph, broken, tmp_path / "out") == 1
    assert "dpeth" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("same_task", [False, True], ids=["of another task", "trained again"])
def test_a_tokenizer_that_the_model_was_not_trained_with(
    same_task: bool, finished: Path, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(next((finished / "stages").glob("model-fourm_7-0-*")), model)
    depth, normals = model / "tokenizers" / "depth", model / "tokenizers" / "normals"
    before = tokenizer_fingerprint(depth)
    if same_task:
        weights = load_file(depth / "model.safetensors")
        save_file(
            {name: 2 * item if item.is_floating_point() else item for name, item in weights.items()},
            depth / "model.safetensors",
        )
        expected = (
            f"with the fingerprint {tokenizer_fingerprint(depth)}, expected {before}, with which the model was trained"
        )
    else:
        shutil.rmtree(depth)
        shutil.copytree(normals, depth)
        expected = f"holds the tokenizer 'normals' ({tokenizer_fingerprint(normals)}), expected 'depth'"
    assert predict(photograph, model, tmp_path / "out", "depth") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert expected in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_modalities_is_refused_by_name(finished: Path) -> None:
    model = next((finished / "stages").glob("model-fourm_7-0-*"))
    with pytest.raises(CheckpointError, match=r"is a model of rgb, .*; expected one of rgb, depth\."):
        load_model(model, expected=["rgb", "depth"])
