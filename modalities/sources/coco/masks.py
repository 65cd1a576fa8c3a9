"""COCO's encodings of masks, decoded by faster-coco-eval: polygons, run lengths, compressed run lengths."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from PIL import Image

from modalities.errors import DataError


def decode_segmentation(segmentation: Any, height: int, width: int, origin: str) -> Bool[np.ndarray, "h w"]:
    """The mask that a ``segmentation`` describes: polygons ``[[x, y, ...], ...]``, or run lengths with their size.

    Args:
        origin: Names the annotation in the message.

    Raises:
        DataError: It is neither, its size is not the image's, or its runs do not add up.
    """
    from faster_coco_eval.core import mask as coco_masks

    problem = _problem(segmentation, height, width)
    if problem:
        raise DataError(f"{origin} has a segmentation that cannot be read: {problem}.")
    try:
        runs = coco_masks.segmToRle(segmentation, width, height)
        return np.asarray(coco_masks.decode(runs)).astype(bool)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{origin} has a segmentation that cannot be read: {reason}.") from error


def read_panoptic(content: bytes, origin: str) -> Int64[np.ndarray, "h w"]:
    """The segment of each pixel of a panoptic PNG: red + 256 green + 65,536 blue.

    Source: COCO's data format, "Panoptic Segmentation".

    Args:
        origin: Names the file in the message.

    Raises:
        DataError: It is no image, or one without colours.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, channels = image.mode, np.asarray(image).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{origin} is not a whole image: {' '.join(str(error).split()).rstrip('.')}.") from error
    if mode not in ("RGB", "RGBA"):
        raise DataError(f"{origin} has pixels of kind {mode}, expected the colours of a panoptic map.")
    return np.asarray(channels[..., 0] + 256 * channels[..., 1] + 65_536 * channels[..., 2])


def _problem(segmentation: Any, height: int, width: int) -> str:
    """What is wrong with a segmentation before it is decoded; empty for nothing."""
    match segmentation:
        case {"size": size, "counts": _}:
            return "" if list(size) == [height, width] else f"its size is {size}, the image's {[height, width]}"
        case list() if segmentation and all(_is_polygon(item) for item in segmentation):
            return ""
        case _:
            return "expected polygons of at least three points, or run lengths with size and counts"


def _is_polygon(points: Any) -> bool:
    if not isinstance(points, Sequence | np.ndarray) or isinstance(points, str):
        return False
    is_numeric = all(isinstance(number, int | float | np.floating) for number in points)
    return len(points) >= 6 and len(points) % 2 == 0 and is_numeric and bool(np.isfinite(points).all())
