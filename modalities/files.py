"""Reading and writing of images and arrays, whole or not at all, and the resampling of what they hold."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps

from modalities.errors import DataError
from modalities.spec import View

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")
"""Image types that are read."""
LOSSLESS = (".png", ".bmp", ".tif", ".tiff")
"""Image types that keep every level, which maps need and photographs do not."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises on files that are damaged, or larger than any photograph."""


def check_suffix(path: Path, known: tuple[str, ...]) -> str:
    """The type of a file, in lower case.

    Raises:
        DataError: It is none of those known.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        raise DataError(f"{path} has type {suffix or 'none'!r}, expected one of {', '.join(known)}.")
    return suffix


def read_rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of any image file, whatever its name, upright: cameras note in the file how they were held.

    Of 16 bits of gray the upper 8 are taken.

    Raises:
        DataError: The file is missing, no image, damaged, or has numbers that are no 8 or 16 bits.
    """
    if path.suffix.lower() not in IMAGES and path.exists() and not _is_image(path):
        check_suffix(path, IMAGES)
    image = _load(path, upright=True)
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
            raise DataError(f"{path} has pixels of kind {image.mode}, expected 8 or 16 bits a channel.")
        gray = (levels.astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGB"))


def read_levels(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The levels of a lossless image as they are stored: (h, w) for gray and palettes, (h, w, 3) for colours.

    Raises:
        DataError: The file is missing, no lossless image, or damaged.
    """
    check_suffix(path, LOSSLESS)
    image = _load(path, upright=False)
    match image.mode:
        case "L" | "P":
            return np.asarray(image, dtype=np.uint8)
        case "1":
            return np.asarray(image, dtype=np.uint8) * np.uint8(255)
        case "RGB" | "RGBA":
            return np.asarray(image.convert("RGB"))
        case "I;16" | "I;16B" | "I":
            return np.asarray(image).astype(np.uint16)
        case _:
            raise DataError(f"{path} has pixels of kind {image.mode}, expected 8 or 16 bits of gray, or colours.")


def write_image(path: Path, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write gray levels (h, w) of 8 or 16 bits, or colours (h, w, 3), in the type that the name says.

    Raises:
        DataError: The type is unknown, or the file could not be written.
    """
    suffix = check_suffix(path, IMAGES)
    kind = Image.registered_extensions()[suffix]
    image = Image.fromarray(np.ascontiguousarray(picture))
    write_whole(path, lambda file: image.save(file, format=kind))


def read_array(path: Path, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """The floating-point numbers of a .npy file.

    ``shape`` is what to expect, None where any length will do.

    Raises:
        DataError: The file is missing, not .npy, damaged, of another shape, or holds something else.
    """
    check_suffix(path, (".npy",))
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):
                raise ValueError("it goes on after its last number")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{path} is not a whole .npy file: {_line(error)}.") from error
    if array.dtype.kind not in "fiu":
        raise DataError(f"{path} holds {array.dtype}, expected numbers.")
    check_shape(path, array.shape, shape)
    return array.astype(np.float32)


def write_array(path: Path, array: NDArray[np.float32]) -> None:
    """Write a .npy file.

    Raises:
        DataError: The name ends otherwise, or the file could not be written.
    """
    check_suffix(path, (".npy",))
    write_whole(path, lambda file: np.save(file, array, allow_pickle=False))


def check_shape(path: Path, found: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    """Make sure that a file's array has the expected shape.

    Raises:
        DataError: It has another; the message says both.
    """
    fits = len(found) == len(expected) and all(want in (None, have) for have, want in zip(found, expected, strict=True))
    if not fits or 0 in found:
        wanted = ", ".join("any" if want is None else str(want) for want in expected)
        raise DataError(f"{path} has shape {found}, expected ({wanted}).")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, then rename it: it is there whole or not at all.

    Raises:
        DataError: The folder is missing or may not be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path} could not be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def resample(value: Shaped[np.ndarray, "h w *c"], view: View, side: int, *, nearest: bool) -> NDArray[Any]:
    """What ``view`` shows of an array, at ``side`` x ``side`` and in the same type.

    Either the nearest value, or bilinear with a wider filter where the array shrinks, as Pillow does it.
    """
    height, width = value.shape[:2]
    if nearest:
        steps = (np.arange(side) + 0.5) / side
        rows = ((view.top + steps * view.height) * height).astype(int).clip(0, height - 1)
        columns = ((view.left + steps * view.width) * width).astype(int).clip(0, width - 1)
        shown = value[rows[:, None], columns[None, :]]
    else:
        shown = _bilinear(value, view, side)
    return np.ascontiguousarray(shown[:, ::-1] if view.flip else shown)


def _bilinear(value: Shaped[np.ndarray, "h w *c"], view: View, side: int) -> NDArray[Any]:
    height, width = value.shape[:2]
    box = (
        max(view.left * width, 0.0),
        max(view.top * height, 0.0),
        min((view.left + view.width) * width, width),
        min((view.top + view.height) * height, height),
    )

    def resized(layer: NDArray[Any]) -> NDArray[Any]:
        image = Image.fromarray(np.ascontiguousarray(layer))
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box))

    if value.ndim == 2 or (value.dtype == np.uint8 and value.shape[2] == 3):
        return resized(value)
    return np.stack([resized(value[..., channel]) for channel in range(value.shape[2])], axis=-1)


def _is_image(path: Path) -> bool:
    """True where a file begins as an image does, whatever its name."""
    try:
        with Image.open(path):
            return True
    except _BROKEN:
        return False


def _load(path: Path, *, upright: bool) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image) if upright else image.copy()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except _BROKEN as error:
        raise DataError(f"{path} is not a whole image: {_line(error)}.") from error


def _line(error: BaseException) -> str:
    """What an error says, in one line without a full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
