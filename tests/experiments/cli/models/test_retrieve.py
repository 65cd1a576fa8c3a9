"""From a query to the nearest samples of an embedded data set, by the command that a person types."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli.main import main
from tests.experiments.small_folder import NAMES, make_model_folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, embedded by an untrained model."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("retrieve")
    make_model_folder(root / "model", (*NAMES, "dinov2_global"))
    (root / "photos" / "test" / "rgb").mkdir(parents=True)
    for number in range(8):
        levels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(levels // (number + 1)).save(root / "photos" / "test" / "rgb" / f"{number}.png")
    options = ["--model", f"{root / 'model'}", "--from", "rgb", "--out", f"{root / 'index.safetensors'}"]
    assert main(["embed", f"folder:{root / 'photos'}", *options, "--device", "cpu"]) == 0
    return root


def retrieve(root: Path, *words: str) -> int:
    return main(["retrieve", *words, "--index", str(root / "index.safetensors"), "--device", "cpu"])


def test_a_picture_finds_itself_first(workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, out = workplace / "photos" / "test" / "rgb" / "5.png", tmp_path / "sheet.png"
    assert retrieve(workplace, f"rgb={picture}", "--top", "3", "--out", str(out)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["1", "1.000"]
    assert lines[0].endswith("5")
    assert len(lines) == 4
    with Image.open(out) as sheet, Image.open(picture) as query:
        # The query and its first answer are drawn side by side, enlarged alike.
        width, pixels = sheet.width, np.asarray(sheet.convert("RGB"))
        assert width == 10 + 4 * 138
        tile = np.asarray(query.resize((128, 128), Image.Resampling.NEAREST))
        np.testing.assert_array_equal(pixels[60:188, 10:138], tile)
        np.testing.assert_array_equal(pixels[60:188, 148:276], tile)


def test_answers_as_json(workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    assert retrieve(workplace, "caption=a red ball", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["query"] == {"caption": "a red ball"}
    assert len(content["answers"]) == 8
    similarities = [item["similarity"] for item in content["answers"]]
    assert similarities == sorted(similarities, reverse=True)
    assert not (workplace / "retrieval.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audio=a.wav",), "No modality of this model named 'audio'"),
        (("rgb",), "the query takes NAME=VALUE, got 'rgb'"),
        (("rgb=gone.png",), "There is no file gone.png"),
        (("caption=a ball", "--top", "0"), "--top must be 1 or more, got 0"),
        (("caption=a ball", "--show", "audio"), "--show audio: this model has rgb"),
        (("bounding_boxes=what is this",), "does not spell bounding boxes"),
    ],
)
def test_wrong_queries_are_one_line(
    words: tuple[str, ...], message: str, workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrieve(workplace, *words, "--out", str(tmp_path / "sheet.png")) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "sheet.png").exists()


def test_an_index_of_another_model_is_refused(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model_folder(tmp_path / "other", ("rgb", "caption"))
    assert retrieve(workplace, "caption=a ball", "--model", str(tmp_path / "other")) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "was made by the model" in lines[0]
