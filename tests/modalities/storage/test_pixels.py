"""Images of every mode as colours and as levels: hidden colours never show, and what cannot be read is one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from modalities.corrections import MAX_WARNINGS, collect_corrections, report_correction
from modalities.errors import ConfigError, DataError
from modalities.storage.files import read_lossless_image, read_rgb
from modalities.storage.pixels import image_levels, parse_color, rgb_levels

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
ALPHA = np.tile(np.array([0, 0, 1, 100, 128, 254, 255, 255], np.uint8), (6, 1))
GREEN = (10, 200, 30)


def composited(colors: NDArray[np.uint8], alpha: NDArray[np.uint8], background: tuple[int, int, int]) -> NDArray[Any]:
    """The over operator, in floating point."""
    share = alpha[..., None] / 255
    return np.rint(colors * share + np.array(background) * (1 - share))


def assert_close(found: NDArray[np.uint8], expected: NDArray[Any], tolerance: int = 1) -> None:
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= tolerance


def with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(ALPHA))
    return image


@pytest.mark.parametrize("background", [(255, 255, 255), GREEN])
def test_transparency_is_composited_in_every_mode(background: tuple[int, int, int]) -> None:
    rgba = with_alpha(Image.fromarray(LEVELS))
    assert_close(rgb_levels(rgba, "a", background), composited(LEVELS, ALPHA, background))
    gray = Image.fromarray(LEVELS[..., 0])
    grays = np.repeat(LEVELS[..., :1], 3, axis=2)
    assert_close(rgb_levels(with_alpha(gray.copy()), "a", background), composited(grays, ALPHA, background))
    palette = Image.fromarray(LEVELS).quantize(16)
    colors = np.asarray(palette.convert("RGB"))
    assert_close(rgb_levels(with_alpha(palette.copy()), "a", background), composited(colors, ALPHA, background))


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_colours_are_no_other_colours(mode: str) -> None:
    straight = with_alpha(Image.fromarray(LEVELS if mode == "RGBa" else LEVELS[..., 0]))
    expected = rgb_levels(straight, "a", GREEN)
    # Premultiplied levels are rounded, which costs up to half a level of each.
    assert_close(rgb_levels(straight.convert(mode), "a", GREEN), expected, tolerance=2)


def test_palettes_and_keys_with_transparency_hide_their_colour(tmp_path: Path) -> None:
    palette = Image.new("P", (3, 1))
    palette.putdata([0, 1, 2])
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(tmp_path / "index.png", transparency=0)
    palette.save(tmp_path / "bytes.png", transparency=bytes([0, 128, 255]))
    assert read_rgb(tmp_path / "index.png", GREEN)[0].tolist() == [list(GREEN), [0, 255, 0], [0, 0, 255]]
    colors = np.eye(3, dtype=np.uint8)[None] * np.uint8(255)
    blended = composited(colors, np.array([[0, 128, 255]], np.uint8), GREEN)
    assert_close(read_rgb(tmp_path / "bytes.png", GREEN), blended)
    Image.fromarray(np.array([[7, 9]], np.uint8)).save(tmp_path / "gray.png", transparency=7)
    assert read_rgb(tmp_path / "gray.png", GREEN)[0].tolist() == [list(GREEN), [9, 9, 9]]
    Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert read_rgb(tmp_path / "key.png", GREEN)[0].tolist() == [list(GREEN), [4, 5, 6]]


@pytest.mark.parametrize(("mode", "tolerance"), [("CMYK", 1), ("YCbCr", 3), ("HSV", 6), ("RGB", 0)])
def test_colours_of_other_spaces_are_the_same_colours(mode: str, tolerance: int) -> None:
    assert_close(rgb_levels(Image.fromarray(LEVELS).convert(mode), "a"), LEVELS, tolerance)


def test_lab_is_converted(tmp_path: Path) -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    smooth = np.mgrid[:6, :8].sum(0).astype(np.uint8)[..., None] * np.array([15, 12, 9], np.uint8) + np.uint8(20)
    lab = ImageCms.applyTransform(
        Image.fromarray(smooth), ImageCms.buildTransform(profiles[0], profiles[1], "RGB", "LAB")
    )
    assert lab is not None
    lab.save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "LAB"
    assert_close(read_rgb(tmp_path / "a.tif"), smooth, tolerance=4)


def test_bits_and_wide_levels_are_read_by_value() -> None:
    bits = np.array([[True, False]])
    assert rgb_levels(Image.fromarray(bits), "a")[0, :, 0].tolist() == [255, 0]
    assert image_levels(Image.fromarray(bits), "a").tolist() == [[255, 0]]
    wide = np.array([[0, 256, 65535]], np.uint16)
    assert rgb_levels(Image.fromarray(wide), "a")[0, :, 1].tolist() == [0, 1, 255]
    assert image_levels(Image.fromarray(wide.astype(np.int32)), "a").tolist() == wide.tolist()
    for image in (Image.fromarray(wide.astype(np.int32) + 1), Image.fromarray(wide.astype(np.float32))):
        for read in (rgb_levels, image_levels):
            with pytest.raises(DataError, match=r"^a has pixels of kind (I up to 65536|F), expected 8 or 16 bits"):
                read(image, "a")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_levels_of_a_map_are_read_where_it_is_opaque_and_refused_where_not(mode: str, tmp_path: Path) -> None:
    source = LEVELS[..., 0] if mode == "LA" else LEVELS
    image = Image.fromarray(source)
    image.putalpha(255)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_lossless_image(tmp_path / "a.png"), source)
    with_alpha(image).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png has transparent pixels .alpha down to 0."):
        read_lossless_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(suffix: str, tmp_path: Path) -> None:
    black, white = (Image.new("RGB", (8, 6), color) for color in ("black", "white"))
    path = tmp_path / f"a{suffix}"
    black.save(path, save_all=True, append_images=[white, black], lossless=True)
    with collect_corrections() as lines:
        assert not read_rgb(path).any()
    assert lines == [f"{path} has 3 frames: the first is taken."]


def test_large_photographs_are_read_and_bombs_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_rgb(tmp_path / "a.png").shape == LEVELS.shape
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"a\.png is not a whole image: Image size .48 pixels. exceeds limit") as raised:
        read_rgb(tmp_path / "a.png")
    assert "\n" not in str(raised.value)


def test_colours_have_three_forms() -> None:
    assert parse_color("white") == parse_color("#ffffff") == parse_color([255, 255, 255]) == (255, 255, 255)
    for wrong in ("whitish", [1, 2], [1, 2, 256], [0.5, 0.5, 0.5], 3, None):
        with pytest.raises(ConfigError, match="is no colour"):
            parse_color(wrong)


def test_corrections_are_logged_up_to_a_limit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modalities.corrections._num_logged", 0)
    for number in range(MAX_WARNINGS + 5):
        report_correction(f"line {number}")
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    expected = [f"line {number}" for number in range(MAX_WARNINGS)]
    assert warnings == [*expected, "Further values that are cut or converted are logged at level DEBUG."]
