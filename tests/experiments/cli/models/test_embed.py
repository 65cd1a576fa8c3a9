"""A data set to a file of embeddings, by the command that a person types."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli.main import main
from lightning_modules.inference.embedding_index import read_index
from lightning_modules.inference.pipeline import Pipeline
from tests.experiments.small_folder import NAMES, make_model_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that takes images and predicts a global feature."""
    torch.set_num_threads(1)
    return make_model_folder(tmp_path_factory.mktemp("embed") / "model", (*NAMES, "dinov2_global"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures of noise, of which three have a caption."""
    for number in range(5):
        levels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        folder = tmp_path / "photos" / "test"
        for name in ("rgb", "caption"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(folder / "rgb" / f"{number}.png")
        if number < 3:
            (folder / "caption" / f"{number}.txt").write_text(f"a red ball number {number}")
    return tmp_path / "photos"


def embed(model: Path, source: str, inputs: str, out: Path, *more: str) -> int:
    words = ["embed", source, "--model", str(model), "--from", inputs, "--out", str(out), "--device", "cpu", *more]
    return main(words)


def test_photographs_become_vectors_by_key(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "index.safetensors"
    assert embed(model, f"folder:{photos}", "rgb", out, "--batch-size", "2") == 0
    assert "5 embeddings of width 64 from rgb (encoder)" in capsys.readouterr().out
    index, pipeline = read_index(out), Pipeline.load(model, device="cpu")
    assert index.info.source.path == str(photos.resolve())
    for key, vector in zip(index.keys, index.vectors, strict=True):
        expected = pipeline.embed({"rgb": photos / "test" / "rgb" / f"{key.rsplit('/', 1)[-1]}.png"})
        assert not isinstance(expected, list)
        np.testing.assert_allclose(vector, expected.pooled, atol=1e-5)


def test_samples_without_the_inputs_are_left_out_and_counted(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "index.safetensors"
    assert embed(model, f"folder:{photos}", "caption", out, "--space", "dinov2_global") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "3 embeddings of width 8 from caption (dinov2_global)" in text
    assert "2 samples have none of caption and are left out." in text
    assert len(read_index(out).keys) == 3
    shutil.rmtree(photos / "test" / "rgb")


def test_scenes_are_embedded_up_to_a_limit(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "index.safetensors"
    assert embed(model, "scenes", "rgb,depth", out) == 1
    assert "say how many with --limit" in capsys.readouterr().err
    assert embed(model, "scenes", "rgb,depth", out, "--limit", "3") == 0
    assert read_index(out).info.inputs == ("rgb", "depth")
    assert list(read_index(out).keys) == ["test/0", "test/1", "test/2"]


@pytest.mark.parametrize(
    ("inputs", "more", "message"),
    [
        ("dpeth", (), "No modality of this model named 'dpeth'. Did you mean 'depth'?"),
        ("rgb", ("--space", "semseg"), "No embedding space of this model named 'semseg'"),
        ("rgb", ("--tokens", "--space", "dinov2_global"), "--tokens is for --space encoder"),
        ("rgb", ("--split", "tset"), "No split of scenes named 'tset'"),
        ("rgb", ("--batch-size", "0"), "--batch-size must be 1 or more, got 0"),
    ],
)
def test_wrong_requests_are_one_line(
    inputs: str, more: tuple[str, ...], message: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(model, "scenes", inputs, tmp_path / "index.safetensors", "--limit", "2", *more) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "index.safetensors").exists()
