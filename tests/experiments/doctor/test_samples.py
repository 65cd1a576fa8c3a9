"""Reading goes on after a fault, and each fault is laid to the file that has it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.doctor.samples import ENDLESS, Sample, read_samples, select_evenly
from modalities.sources.scenes import SceneKeys, ScenesSource
from modalities.sources.stored import StoredFile, StoredValue
from tests.experiments.doctor.table import TableSource, modalities_at_scale

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
