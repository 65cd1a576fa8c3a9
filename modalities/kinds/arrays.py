"""Arrays, tensors and images as people hold them, brought into the shape, type and range of a modality's values.

What does not fit is refused in one line; nothing is guessed.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from modalities.errors import DataError
from modalities.values import ValueSpec


def as_array(name: str, value: Any, expected: str) -> NDArray[Any]:
    """An array or a tensor on any device as an array; bfloat16 becomes float32.

    Args:
        name: The modality's name, for the message.
        expected: The modality's value in words, for the message.

    Raises:
        DataError: It is something else, or holds no numbers.
    """
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()
    if not isinstance(value, np.ndarray):
        raise DataError(f"{name} is a {type(value).__name__}, expected {expected}.")
    if value.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {value.dtype}, expected {expected}.")
    return value


def image_plane(name: str, array: Shaped[np.ndarray, "..."], expected: str) -> Shaped[np.ndarray, "h w"]:
    """One layer (h, w), out of (h, w), (1, h, w) or (h, w, 1).

    Raises:
        DataError: The shape is another, or could be read both ways.
    """
    if array.ndim == 2 and array.size:
        return array
    if array.ndim == 3 and array.size and (array.shape[0] == 1) != (array.shape[2] == 1):
        return array[0] if array.shape[0] == 1 else array[..., 0]
    raise DataError(f"{name} has shape {array.shape}, expected {expected}.")


def channels_last(name: str, value: Any, channels: int, expected: str) -> Shaped[np.ndarray, "h w c"]:
    """An array or a tensor of ``channels`` layers as (h, w, c), out of (h, w, c) or (c, h, w).

    Raises:
        DataError: The shape is another, or could be read both ways.
    """
    array, expected = as_array(name, value, expected), f"{expected} (its channels may come first)"
    if array.ndim == 3 and array.size:
        is_first, is_last = array.shape[0] == channels, array.shape[2] == channels
        if is_first and is_last:
            raise DataError(
                f"{name} has shape {array.shape}, whose channels may come first or last: expected {expected}."
            )
        if is_first or is_last:
            return np.moveaxis(array, 0, -1) if is_first else array
    raise DataError(f"{name} has shape {array.shape}, expected {expected}.")


def require_channels(
    name: str, array: Shaped[np.ndarray, "..."], channels: int, expected: str
) -> Shaped[np.ndarray, "h w c"]:
    """The same array (h, w, c).

    Raises:
        DataError: It has another shape.
    """
    if array.ndim != 3 or array.shape[2] != channels or not array.size:
        raise DataError(f"{name} has shape {array.shape}, expected {expected}.")
    return array


def require_floats(name: str, array: NDArray[Any], expected: str) -> NDArray[np.float32]:
    """Floating-point numbers as float32.

    Raises:
        DataError: They are integers or flags.
    """
    if array.dtype.kind != "f":
        raise DataError(f"{name} holds {array.dtype}, expected {expected}.")
    return array.astype(np.float32, copy=False)


def require_finite(name: str, array: NDArray[np.float32], expected: str) -> NDArray[np.float32]:
    """The same numbers.

    Raises:
        DataError: One is not finite.
    """
    if not np.isfinite(array).all():
        raise DataError(f"{name} has numbers that are not finite, expected {expected}.")
    return array


def color_levels(name: str, array: NDArray[Any], expected: str) -> UInt8[np.ndarray, "..."]:
    """Levels 0..255, out of uint8 levels or of floats 0..1.

    Raises:
        DataError: The numbers are of another type or range.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise DataError(f"{name} holds {array.dtype}, expected {expected}.")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise DataError(f"{name} has floats from {array.min():g} to {array.max():g}, expected {expected}.")
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)


def require_range(name: str, array: NDArray[Any], spec: ValueSpec) -> None:
    """Check that numbers lie between the limits that a modality declares.

    Raises:
        DataError: One lies outside.
    """
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if (spec.low is not None and low < spec.low) or (spec.high is not None and high > spec.high):
        raise DataError(f"{name} has numbers from {low:g} to {high:g}, expected {spec}.")


def class_indices(name: str, array: NDArray[Any], expected: str) -> UInt8[np.ndarray, "..."]:
    """Class indices 0..255 of any integer type.

    Raises:
        DataError: They are no integers, or out of range.
    """
    if array.dtype.kind not in "iu":
        raise DataError(f"{name} holds {array.dtype}, expected {expected}.")
    if array.size and (array.min() < 0 or array.max() > 255):
        raise DataError(f"{name} has classes from {array.min()} to {array.max()}, expected {expected}.")
    indices: UInt8[np.ndarray, ...] = array.astype(np.uint8)
    return indices


def edges_from_array(name: str, array: NDArray[Any], expected: str) -> UInt8[np.ndarray, "..."]:
    """1 for an edge and 0 elsewhere, out of flags, of 0 and 1, or of the levels 0 and 255.

    Raises:
        DataError: There are other numbers.
    """
    found = np.unique(array)
    if not (set(found.tolist()) <= {0, 1} or set(found.tolist()) <= {0, 255}):
        raise DataError(f"{name} has numbers from {found.min():g} to {found.max():g}, expected {expected}.")
    flags: UInt8[np.ndarray, ...] = (array != 0).astype(np.uint8)
    return flags


def white_pixels(name: str, levels: NDArray[np.uint8] | NDArray[np.uint16]) -> Bool[np.ndarray, "h w"]:
    """True from half of the highest level on, or at 1 where there are only the levels 0 and 1.

    Args:
        levels: Gray (h, w) of 8 or 16 bits.

    Raises:
        DataError: There are levels above 0, and none of them is white.
    """
    limit = int(np.iinfo(levels.dtype).max)
    highest = int(levels.max()) if levels.size else 0
    if 1 < highest <= limit // 2:
        raise DataError(
            f"{name} has levels from {levels.min()} to {highest} of {limit}, expected white ({limit // 2 + 1} and "
            "above) on black, or the levels 0 and 1."
        )
    white: Bool[np.ndarray, "h w"] = levels == 1 if highest == 1 else levels > limit // 2
    return white


def is_image(value: Any) -> bool:
    """True for an image of Pillow."""
    return isinstance(value, Image.Image)
