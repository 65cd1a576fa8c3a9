"""Masks in every form: read by their value, or refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_modules.inference.masks import known_tokens, mask_flags
from modalities.errors import DataError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry

FLAGS = np.zeros((6, 8), dtype=bool)
FLAGS[1:4, 2:5] = True
LEVELS = FLAGS.astype(np.uint8) * 255


def with_alpha(alpha: int, mode: str) -> Image.Image:
    image = Image.fromarray(LEVELS).convert(mode)
    image.putalpha(Image.new("L", image.size, alpha))
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(LEVELS),
        Image.fromarray(LEVELS).convert("1"),
        Image.fromarray(LEVELS).convert("P"),
        Image.fromarray(LEVELS).convert("RGB"),
        Image.fromarray(LEVELS).convert("CMYK"),
        Image.fromarray(FLAGS.astype(np.uint8)),
        Image.fromarray(FLAGS.astype(np.uint16) * 65535),
        Image.fromarray(FLAGS.astype(np.uint16)),
        with_alpha(255, "LA"),
        with_alpha(255, "RGBA"),
    ],
    ids=lambda image: image.mode,
)
def test_a_mask_is_read_by_its_value(image: Image.Image, tmp_path: Path) -> None:
    np.testing.assert_array_equal(mask_flags("rgb", image), FLAGS)
    if image.mode != "CMYK":
        image.save(tmp_path / "mask.png")
        np.testing.assert_array_equal(mask_flags("rgb", tmp_path / "mask.png"), FLAGS)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (with_alpha(0, "LA"), r"has transparent pixels .alpha down to 0."),
        (with_alpha(7, "RGBA"), r"has transparent pixels .alpha down to 7."),
        (Image.fromarray(FLAGS.astype(np.uint8) * 100), "has levels from 0 to 100 of 255, expected white"),
        (Image.fromarray(FLAGS.astype(np.uint16) * 255), "has levels from 0 to 255 of 65535, expected white"),
        (Image.fromarray(FLAGS.astype(np.float32)), "has pixels of kind F"),
    ],
)
def test_a_mask_that_could_be_read_both_ways_is_refused(image: Image.Image, message: str) -> None:
    with pytest.raises(DataError, match=f"^The mask of rgb {message}"):
        mask_flags("rgb", image)


def test_a_damaged_mask_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"mask\.png is empty, expected an image"):
        mask_flags("rgb", tmp_path / "mask.png")


def test_a_token_is_known_where_the_mask_shows_nothing_of_its_square() -> None:
    rgb = default_registry()["rgb"].scaled(ScaleConfig(size=8, patch=4))
    flags: Any = np.zeros((8, 12), dtype=bool)
    flags[0, 2], flags[7, 1] = True, True  # The second lies outside the centred square.
    assert known_tokens(rgb, flags, (8, 12), "a.png").tolist() == [False, True, True, True]
