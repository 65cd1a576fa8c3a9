"""Reading goes on after a fault, and each fault is laid to the file that has it."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchmetrics import MetricCollection

from experiments.doctor.samples import Sample, read_samples, select_evenly
from modalities.kinds.dense import ArrayModality
from modalities.layouts import Vector
from modalities.sources.base import ENDLESS
from modalities.sources.scenes import SceneKeys, ScenesSource
from modalities.sources.stored import StoredFile, StoredValue
from modalities.spec import Crop, Modality
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss
from tests.experiments.doctor.table import TableSource, modalities_at_scale
from tests.modalities.sources.memory import MemorySource

RGB = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def read(**stored: object) -> Sample:
    modalities = modalities_at_scale("rgb", "depth", "caption")
    source = TableSource({"train": {"a": stored}}, modalities)
    return next(read_samples(source, modalities, "train", ["a"]))


def test_values_are_seen_before_and_after_the_crop() -> None:
    reading = read(rgb=RGB, caption="a dog").readings["rgb"]
    np.testing.assert_array_equal(reading.stored[0], RGB)
    assert reading.value is not None
    assert reading.value.shape == (32, 32, 3)
    assert reading.problem == ""


def test_values_are_seen_on_the_source_s_background(tmp_path: Path) -> None:
    Image.new("RGBA", (48, 32), (0, 0, 0, 0)).save(tmp_path / "a.png")
    modalities = modalities_at_scale("rgb")
    stored = StoredFile(path=tmp_path / "a.png")
    source = MemorySource({"a": {"rgb": stored}}, modalities, background="#00ff00")
    reading = next(read_samples(source, modalities, "train", ["a"])).readings["rgb"]
    assert (reading.stored[0] == (0, 255, 0)).all()


def test_a_missing_value_is_no_problem() -> None:
    sample = read(rgb=RGB)
    assert sample.present == ("rgb",)
    assert not any(reading.problem for reading in sample.readings.values())


def test_a_damaged_image_is_a_problem_of_its_own_modality_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:200])
    sample = read(rgb=StoredFile(path=path), caption="a dog", depth=np.ones((32, 48), np.float32))
    assert str(path) in sample.readings["rgb"].problem
    assert sample.readings["rgb"].is_stored
    assert sample.readings["caption"].problem == ""
    assert sample.readings["caption"].stored == ("a dog",)
    assert sample.readings["depth"].problem == ""


def test_a_map_of_another_ratio_than_its_image_is_named() -> None:
    sample = read(rgb=RGB, depth=StoredValue(value=np.ones((48, 32), np.float32), origin="maps/a.npy"))
    assert sample.readings["depth"].problem.startswith("maps/a.npy: ")
    assert "32 x 48 pixels" in sample.readings["depth"].problem
    assert sample.readings["rgb"].problem == ""


def test_whatever_a_plug_in_raises_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    modalities = modalities_at_scale("rgb")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no\nway")

    monkeypatch.setattr(type(modalities["rgb"]), "transform", fail)
    sample = next(read_samples(TableSource({"train": {"a": {"rgb": RGB}}}, modalities), modalities, "train", ["a"]))
    assert sample.readings["rgb"].problem == "train/a/rgb: ZeroDivisionError: no way."


def test_a_source_that_stores_nothing_is_read_too() -> None:
    modalities = modalities_at_scale("rgb", "caption")
    source = ScenesSource.for_modalities(modalities)
    sample = next(read_samples(source, modalities, "test", source.keys("test")[:1]))
    assert sample.present == ("rgb", "caption")
    assert sample.readings["rgb"].origin == "sample test/0 of scenes"


def test_samples_are_chosen_at_even_steps() -> None:
    keys = [str(number) for number in range(10)]
    assert select_evenly(keys, 3) == ["0", "3", "6"]
    assert select_evenly(keys, None) is keys
    assert select_evenly(keys, 10) is keys
    assert len(SceneKeys("train")) >= ENDLESS
    assert select_evenly(SceneKeys("train"), 2) == ["train/0", "train/1"]


class Sound(ArrayModality):
    """A modality of another package: mono sound, read by the standard library, which has errors of its own."""

    @property
    def file_shape(self) -> tuple[int | None, ...]:
        return (None,)

    def read_file(self, path: Path) -> NDArray[np.float32]:
        with wave.open(str(path)) as file:
            levels: NDArray[np.float32] = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32)
        return levels

    def transform(self, value: NDArray[np.float32], crop: Crop) -> NDArray[np.float32]:
        return value

    def render(self, value: NDArray[np.float32]) -> str:
        return f"{len(value)} samples"

    def metrics(self) -> MetricCollection:
        return MetricCollection({})

    def constant_baseline(self, values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.zeros(8, np.float32)


SOUND = Sound(
    name="sound",
    title="Sound",
    layout=Vector(channels=8, num_tokens=2),
    tokenizer=ProductMLP(name="sound", vocab_size=4, loss=ReconstructionLoss.mse),
    suffix=".wav",
)


def test_a_sound_that_is_none_is_named(tmp_path: Path) -> None:
    modalities: dict[str, Modality] = {"sound": SOUND}
    with wave.open(str(tmp_path / "good.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(8, dtype=np.int16).tobytes())
    (tmp_path / "bad.wav").write_bytes(b"this is no sound")
    table = {"train": {name: {"sound": StoredFile(path=tmp_path / f"{name}.wav")} for name in ("good", "bad")}}
    good, bad = read_samples(TableSource(table, modalities), modalities, "train", ["good", "bad"])
    assert np.asarray(good.readings["sound"].value).tolist() == list(range(8))
    assert bad.readings["sound"].problem.startswith(f"{tmp_path / 'bad.wav'}")
    assert "file does not start with RIFF id" in bad.readings["sound"].problem
