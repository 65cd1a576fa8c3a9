"""Reading and atomic writing of images and arrays, and their cropping and resizing."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps

from modalities.corrections import report_correction
from modalities.errors import DataError, error_reason
from modalities.spec import Crop
from modalities.storage.atomic import atomic_file
from modalities.storage.pixels import WHITE, grayscale_levels, image_levels, rgb_levels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")
"""Image types that are read."""
LOSSLESS_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Image types that keep every level, which maps need and photographs do not."""

_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)
"""Exceptions of Pillow on files that are damaged, or larger than any photograph."""


def check_suffix(path: Path, allowed: tuple[str, ...]) -> str:
    """The suffix of a file's name, in lower case.

    Raises:
        DataError: The suffix is not in ``allowed``.
    """
    suffix = path.suffix.lower()
    if suffix not in allowed:
        raise DataError(f"{path} has type {suffix or 'none'!r}, expected one of {', '.join(allowed)}.")
    return suffix


def read_rgb(path: Path, background: tuple[int, int, int] = WHITE) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image file of any type to RGB, rotated as its EXIF orientation says.

    16-bit grayscale is reduced to its high byte; of an animation the first frame is taken.

    Args:
        background: Colour that transparent pixels are composited over.

    Raises:
        DataError: The file is missing, damaged, not an image, or not of 8 or 16 bits a channel.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES and path.exists() and not _is_image(path):
        check_suffix(path, IMAGE_SUFFIXES)
    return rgb_levels(open_image(path, apply_exif_orientation=True), str(path), background)


def read_lossless_image(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a lossless image without scaling: (h, w) for gray and palette indices, (h, w, 3) for RGB.

    Raises:
        DataError: The file is missing, damaged, or not a lossless image.
    """
    check_suffix(path, LOSSLESS_SUFFIXES)
    return image_levels(open_image(path, apply_exif_orientation=False), str(path))


def read_grayscale(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The levels (h, w) of a lossless gray or palette image of 8 or 16 bits.

    Raises:
        DataError: The file is missing, damaged, of another type or in colours.
    """
    check_suffix(path, LOSSLESS_SUFFIXES)
    return grayscale_levels(open_image(path, apply_exif_orientation=False), str(path))


def write_image(path: Path, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write gray levels (h, w) of 8 or 16 bits, or RGB (h, w, 3), in the format of the suffix.

    Raises:
        DataError: The type is unknown, or the file cannot be written.
    """
    suffix = check_suffix(path, IMAGE_SUFFIXES)
    kind = Image.registered_extensions()[suffix]
    image = Image.fromarray(np.ascontiguousarray(picture))
    with atomic_file(path) as file:
        image.save(file, format=kind)


def load_array(path: Path) -> NDArray[Any]:
    """Read a .npy file of numbers in the type in which they are stored.

    Raises:
        DataError: The file is missing, damaged, not .npy, or not numeric.
    """
    check_suffix(path, (".npy",))
    try:
        with path.open("rb") as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):
                raise ValueError("there are bytes after its last number")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{path} is not a whole .npy file: {error_reason(error)}.") from error
    if array.dtype.kind not in "bfiu":
        raise DataError(f"{path} holds {array.dtype}, expected numbers.")
    return array


def is_array_file(path: Path) -> bool:
    """True for a .npy file."""
    return path.suffix.lower() == ".npy"


def read_array(path: Path, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """Read a .npy file of numbers as float32.

    Args:
        shape: Expected shape; None stands for any length.

    Raises:
        DataError: The file is missing, damaged, not .npy, of another shape, or not numeric.
    """
    array = load_array(path)
    check_shape(path, array.shape, shape)
    return array.astype(np.float32)


def write_array(path: Path, array: NDArray[np.float32]) -> None:
    """Write a .npy file.

    Raises:
        DataError: The suffix is not .npy, or the file cannot be written.
    """
    check_suffix(path, (".npy",))
    with atomic_file(path) as file:
        np.save(file, array, allow_pickle=False)


def check_shape(path: Path | str, found: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    """Check that a file's array has the expected shape.

    Raises:
        DataError: It has another shape; the message has both.
    """
    fits = len(found) == len(expected) and all(
        expected_dim in (None, found_dim) for found_dim, expected_dim in zip(found, expected, strict=True)
    )
    if not fits or 0 in found:
        expected_text = ", ".join("any" if expected_dim is None else str(expected_dim) for expected_dim in expected)
        raise DataError(f"{path} has shape {found}, expected ({expected_text}).")


def crop_and_resize(value: Shaped[np.ndarray, "h w *c"], crop: Crop, side: int, *, nearest: bool) -> NDArray[Any]:
    """Cut ``crop`` out of an array and resize it to ``side`` x ``side``, keeping the dtype.

    Resampling takes the nearest value, or is bilinear with Pillow's antialiasing filter.
    """
    height, width = value.shape[:2]
    if nearest:
        steps = (np.arange(side) + 0.5) / side
        rows = ((crop.top + steps * crop.height) * height).astype(int).clip(0, height - 1)
        columns = ((crop.left + steps * crop.width) * width).astype(int).clip(0, width - 1)
        cropped = value[rows[:, None], columns[None, :]]
    else:
        cropped = _crop_and_resize_bilinear(value, crop, side)
    return np.ascontiguousarray(cropped[:, ::-1] if crop.flip else cropped)


def _crop_and_resize_bilinear(value: Shaped[np.ndarray, "h w *c"], crop: Crop, side: int) -> NDArray[Any]:
    height, width = value.shape[:2]
    box = (
        max(crop.left * width, 0.0),
        max(crop.top * height, 0.0),
        min((crop.left + crop.width) * width, width),
        min((crop.top + crop.height) * height, height),
    )

    def resized(layer: NDArray[Any]) -> NDArray[Any]:
        image = Image.fromarray(np.ascontiguousarray(layer))
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box))

    if value.ndim == 2 or (value.dtype == np.uint8 and value.shape[2] == 3):
        return resized(value)
    return np.stack([resized(value[..., channel]) for channel in range(value.shape[2])], axis=-1)


def _is_image(path: Path) -> bool:
    """True for a file whose header is an image's, whatever its suffix."""
    try:
        with Image.open(path):
            return True
    except _PILLOW_ERRORS:
        return False


@contextmanager
def _without_bomb_warning() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        yield


def open_image(path: Path, *, apply_exif_orientation: bool = True) -> Image.Image:
    """The decoded image in a file of any type; of an animation the first frame, which is reported.

    Raises:
        DataError: The file is missing, damaged, or far larger than a photograph.
    """
    try:
        # Pillow warns of large photographs, which are read, and raises an error from twice their size on.
        with _without_bomb_warning(), Image.open(path) as image:
            # A camera's MPO holds one photograph and views or previews of it, no animation.
            if getattr(image, "is_animated", False) and image.format != "MPO":
                report_correction(f"{path} has {getattr(image, 'n_frames', 'several')} frames: the first is taken.")
            image.load()
            return ImageOps.exif_transpose(image) if apply_exif_orientation else image.copy()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except _PILLOW_ERRORS as error:
        if path.is_file() and path.stat().st_size == 0:
            raise DataError(f"{path} is empty, expected an image.") from error
        raise DataError(f"{path} is not a whole image: {error_reason(error)}.") from error
