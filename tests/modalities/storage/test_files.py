"""Images and arrays in files: what is read, what is refused and how, and what a view shows of them."""

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from modalities.errors import DataError
from modalities.spec import Crop
from modalities.storage.atomic import atomic_file
from modalities.storage.files import (
    crop_and_resize,
    read_array,
    read_lossless_image,
    read_rgb,
    write_array,
    write_image,
)

WHOLE = Crop(left=0, top=0, width=1, height=1)


def picture(height: int = 6, width: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_lossless_images_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, picture())
    np.testing.assert_array_equal(read_rgb(path), picture())
    np.testing.assert_array_equal(read_lossless_image(path), picture())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_any_kind_are_read_as_colours(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(picture()).convert(mode).save(path)
    assert read_rgb(path).shape == (6, 8, 3)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned by a quarter.
    Image.fromarray(picture(6, 8)).save(path, exif=exif)
    assert read_rgb(path).shape == (8, 6, 3)


@pytest.mark.parametrize("name", ["photo.jfif", "photo", "photo.data"])
def test_an_image_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    Image.fromarray(picture()).save(tmp_path / name, format="PNG")
    np.testing.assert_array_equal(read_rgb(tmp_path / name), picture())


@pytest.mark.parametrize("name", ["photo.jpg", "photo", "photo.data"])
def test_a_missing_image_is_said_to_be_missing_whatever_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"^There is no file .*{name}\.$"):
        read_rgb(tmp_path / name)


def test_sixteen_bits_come_back_as_levels_and_lose_half_of_them_as_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    levels = np.array([[0, 1, 65535], [300, 40000, 7]], dtype=np.uint16)
    write_image(path, levels)
    np.testing.assert_array_equal(read_lossless_image(path), levels)
    np.testing.assert_array_equal(read_rgb(path)[..., 1], [[0, 0, 255], [1, 156, 0]])
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif has pixels of kind F, expected 8 or 16 bits"):
        read_rgb(tmp_path / "a.tif")


def test_a_palette_image_gives_its_indices(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_lossless_image(tmp_path / "a.png"), [[0, 1]])


@pytest.mark.parametrize("read", [read_rgb, read_lossless_image])
def test_bad_images_are_named_with_what_is_wrong(tmp_path: Path, read: object) -> None:
    assert callable(read)
    path = tmp_path / "a.png"
    with pytest.raises(DataError, match=r"There is no file .*a\.png"):
        read(path)
    write_image(path, picture(64, 64))
    whole = path.read_bytes()
    for content in (b"", b"not an image", whole[: len(whole) // 2], whole[:30]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.png is (empty, expected an image|not a whole image)") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    (tmp_path / "a.xyz").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"a\.xyz has type '\.xyz', expected one of \.png"):
        read(tmp_path / "a.xyz")


def test_levels_of_a_lossy_image_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", picture())
    with pytest.raises(DataError, match=r"type '\.jpg', expected one of \.png"):
        read_lossless_image(tmp_path / "a.jpg")


def test_arrays_come_back_and_may_have_been_of_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    array = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    write_array(path, array)
    np.testing.assert_array_equal(read_array(path, (2, None)), array)
    np.save(path, np.arange(6, dtype=np.int16).reshape(2, 3))
    assert read_array(path, (None, None)).dtype == np.float32


def test_bad_arrays_are_named_with_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(DataError, match="There is no file"):
        read_array(path, (None,))
    write_array(path, np.zeros((4, 5), dtype=np.float32))
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"has shape \(4, 5\), expected \(any, 6\)"):
        read_array(path, (None, 6))
    with pytest.raises(DataError, match=r"has shape \(4, 5\), expected \(20\)"):
        read_array(path, (20,))
    for content in (b"", b"garbage", whole[:-4], whole[:20], whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npy is not a whole \.npy file"):
            read_array(path, (None, None))
    np.save(path, np.array(["a"]))
    with pytest.raises(DataError, match="holds <U1, expected numbers"):
        read_array(path, (None,))
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is not a whole"):
        read_array(path, (None,))


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_array(path, np.ones(3, dtype=np.float32))

    def fill_the_disk() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"a\.npy cannot be written: No space left on device"):
        fill_the_disk()
    assert [item.name for item in tmp_path.iterdir()] == ["a.npy"]
    np.testing.assert_array_equal(read_array(path, (3,)), 1)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "a.npy"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_writing_into_no_folder_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        write_image(tmp_path / "none" / "a.png", picture())


@given(
    side=st.integers(1, 12),
    left=st.integers(0, 5),
    top=st.integers(0, 5),
    flip=st.booleans(),
    nearest=st.booleans(),
)
def test_a_view_of_whole_pixels_is_a_crop(side: int, left: int, top: int, *, flip: bool, nearest: bool) -> None:
    value = np.random.default_rng(1).standard_normal((17, 20)).astype(np.float32)
    crop = Crop(left=left / 20, top=top / 17, width=side / 20, height=side / 17, flip=flip)
    expected = value[top : top + side, left : left + side]
    shown = crop_and_resize(value, crop, side, nearest=nearest)
    np.testing.assert_allclose(shown, expected[:, ::-1] if flip else expected, atol=2e-5)


def test_halving_bilinearly_keeps_a_plane_and_the_mean() -> None:
    rows, columns = np.mgrid[:16, :16].astype(np.float32)
    plane = 2 * rows + 3 * columns
    shown = crop_and_resize(plane, WHOLE, 8, nearest=False)
    expected = 2 * (rows[:8, :8] * 2 + 0.5) + 3 * (columns[:8, :8] * 2 + 0.5)
    np.testing.assert_allclose(shown[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=1e-5)
    assert shown.mean() == pytest.approx(plane.mean())


def test_the_nearest_value_invents_none() -> None:
    classes = np.random.default_rng(0).choice([0, 3, 200], (33, 33)).astype(np.uint8)
    shown = crop_and_resize(classes, Crop(left=0.1, top=0.2, width=0.5, height=0.5), 20, nearest=True)
    assert set(np.unique(shown).tolist()) <= {0, 3, 200}
    assert shown.dtype == np.uint8


def test_layers_are_resampled_one_by_one() -> None:
    value = np.random.default_rng(0).standard_normal((9, 9, 5)).astype(np.float32)
    shown = crop_and_resize(value, WHOLE, 6, nearest=False)
    for channel in range(5):
        np.testing.assert_array_equal(
            shown[..., channel], crop_and_resize(value[..., channel], WHOLE, 6, nearest=False)
        )
