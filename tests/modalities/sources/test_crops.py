"""Crops: inside the image, square, of the areas asked for, and the same whenever they are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalities.errors import ConfigError, DataError
from modalities.sources.config import SourceConfig
from modalities.sources.crops import (
    CropConfig,
    CropKeys,
    draw_choice,
    draw_crop,
    hashed_uniforms,
    split_crop_key,
    with_crops,
)
from modalities.sources.open import open_source
from modalities.sources.scenes import ScenesSource
from modalities.spec import center_crop
from tests.modalities.sources.memory import MemorySource

sides = st.integers(1, 500)


def test_crops_are_given_by_a_source_that_has_them_alone() -> None:
    crops = CropConfig(count=3)
    cropped = with_crops(MemorySource({"a": {}, "b": {}}, {}), crops)
    assert cropped is not None
    assert list(cropped.keys("train")) == ["a", "a#crop1", "a#crop2", "b", "b#crop1", "b#crop2"]
    assert with_crops(ScenesSource(), crops) is None


@given(st.text(), st.integers(1, 50), sides, sides, st.floats(0.05, 1))
def test_a_crop_is_a_square_inside_the_image_of_no_less_than_the_area(
    key: str, number: int, height: int, width: int, min_area: float
) -> None:
    crop = draw_crop(key, number, height, width, CropConfig(count=51, min_area=min_area))
    side = min(height, width)
    assert crop.width * width == pytest.approx(crop.height * height)
    assert min_area * side**2 * (1 - 1e-9) <= crop.width * width * crop.height * height <= side**2 * (1 + 1e-9)
    assert crop.left >= 0
    assert crop.left + crop.width <= 1 + 1e-9
    assert crop.top >= 0
    assert crop.top + crop.height <= 1 + 1e-9


def test_the_first_crop_is_the_centred_one_and_is_not_mirrored() -> None:
    assert draw_crop("a", 0, 30, 50, CropConfig(count=3, flip=1)) == center_crop(30, 50)


def test_crops_follow_from_key_number_and_seed_alone() -> None:
    config = CropConfig(count=9)
    assert draw_crop("a", 1, 30, 50, config) == draw_crop("a", 1, 30, 50, CropConfig(count=2))
    others = [("b", 1, config), ("a", 2, config), ("a", 1, CropConfig(count=9, seed=1))]
    crops = {draw_crop(key, number, 30, 50, chosen) for key, number, chosen in (("a", 1, config), *others)}
    assert len(crops) == 4
    # A fixed value: draws must not move between versions, or prepared data would be made again.
    assert hashed_uniforms("0/1/crop/a")[0] == pytest.approx(0.3389012843879232)


def test_draws_are_uniform() -> None:
    draws = np.array([hashed_uniforms(str(number)) for number in range(4000)])
    assert draws.min() >= 0
    assert draws.max() < 1
    np.testing.assert_allclose(draws.mean(0), 0.5, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(draws.T), np.eye(4), atol=0.06)
    choices = np.bincount([draw_choice(str(number), 0, 5, 0) for number in range(5000)])
    np.testing.assert_allclose(choices, 1000, atol=150)
    flips = [draw_crop(str(number), 1, 9, 9, CropConfig(count=2, flip=0.25)).flip for number in range(4000)]
    assert np.mean(flips) == pytest.approx(0.25, abs=0.03)


def test_keys_of_crops_are_made_when_read() -> None:
    keys = CropKeys(["a", "b#x"], 3)
    assert (len(keys), keys[4], keys[-1]) == (6, "b#x#crop1", "b#x#crop2")
    assert keys[1:4] == ["a#crop1", "a#crop2", "b#x"]
    assert [split_crop_key(key) for key in keys] == [(key, number) for key in ("a", "b#x") for number in range(3)]
    with pytest.raises(IndexError):
        keys[6]
    with pytest.raises(DataError, match="'a#crop1' is named like a crop"):
        CropKeys(["a", "a#crop1"], 2)


def test_what_does_not_fit_is_refused() -> None:
    for name, value in (("count", 0), ("min_area", 0), ("min_area", 1.5), ("flip", -0.1), ("flip", float("nan"))):
        with pytest.raises(ConfigError, match=rf"data\.crops\.{name} must be"):
            CropConfig(**{name: value})  # type: ignore[arg-type]
    assert set(CropConfig(flip=0.1).unused_settings()) == {"min_area", "flip"}
    assert CropConfig(count=2).unused_settings() == {}
    with pytest.raises(ConfigError, match=r"data\.crops is set, but samples of scenes have one crop"):
        open_source(SourceConfig(), {}, crops=CropConfig(count=4))
