"""A data set to a file of embeddings, by the command that a person types."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli.main import main
from experiments.cli.models import embed as embed_command
from lightning_modules.inference.embedding_index import read_index
from lightning_modules.inference.pipeline import Pipeline
from modalities.sources.scenes import ScenesSource
from modalities.spec import Modality, Value
from tests.experiments.small_folder import NAMES, make_model_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that takes images and predicts a global feature."""
    torch.set_num_threads(1)
    return make_model_folder(tmp_path_factory.mktemp("embed") / "model", (*NAMES, "dinov2_global"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures of noise."""
    for number in range(5):
        levels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        folder = tmp_path / "photos" / "test"
        (folder / "rgb").mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(folder / "rgb" / f"{number}.png")
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


class HalfCaptioned(ScenesSource):
    """Scenes of which those with an even number lack all values."""

    def read(self, key: str, modality: Modality) -> Value:
        return super().read(key, modality) if int(key[-1]) % 2 else None


def test_samples_without_the_inputs_are_left_out_and_counted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_command, "open_source", lambda _, modalities: HalfCaptioned.for_modalities(modalities))
    out = tmp_path / "index.safetensors"
    assert embed(model, "scenes", "caption", out, "--space", "dinov2_global", "--limit", "5") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "2 embeddings of width 8 from caption (dinov2_global)" in text
    assert "3 samples have none of caption and are left out." in text
    assert list(read_index(out).keys) == ["test/1", "test/3"]
    assert embed(model, "scenes", "caption", tmp_path / "none.parquet", "--limit", "1") == 1
    assert "None of the 1 samples of split 'test' of scenes has caption" in capsys.readouterr().err
    assert not (tmp_path / "none.parquet").exists()


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
