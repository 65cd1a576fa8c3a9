"""Boxes around things: the record, and the geometry that boxes, people and masks share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from PIL import ImageDraw

from modalities.corrections import report_correction
from modalities.errors import DataError
from modalities.spec import Crop

Corners = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax as shares of the image's width and height; y points down."""

MAX_BIN = 999
"""A share of 1 is spelled as this number, as published."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """One thing in an image."""

    box: Corners
    class_name: str
    score: float = 1.0
    """Confidence of the detector, 0..1."""

    def to_json(self) -> dict[str, Any]:
        """The box in types that JSON knows."""
        return {"box": list(self.box), "class_name": self.class_name, "score": self.score}

    @classmethod
    def from_json(cls, data: Any) -> "Box":
        """The box that `to_json` wrote."""
        return cls(box=to_corners(data["box"]), class_name=str(data["class_name"]), score=float(data.get("score", 1.0)))


def sort_by_upper_left(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Boxes by the distance of their upper left corner from the image's; equals keep their order."""
    return tuple(sorted(boxes, key=lambda box: distance_from_origin(box.box)))


def to_corners(values: Sequence[float]) -> Corners:
    """Four numbers as a box.

    Raises:
        ValueError: There are not four, or one is not finite.
    """
    if len(values) != 4 or not np.isfinite(values).all():
        raise ValueError(f"a box is four finite numbers xmin, ymin, xmax, ymax, found {list(values)}")
    xmin, ymin, xmax, ymax = (float(value) for value in values)
    return xmin, ymin, xmax, ymax


MAX_OVERHANG = 1.0
"""Most that an accepted box reaches beyond the image, in shares of it; farther edges are assumed to be pixels."""


def check_corners(box: Corners, origin: str) -> Corners:
    """The part of a box inside the image; cutting it is reported.

    Raises:
        DataError: Edges are in the wrong order or too far outside the image, or the box has no area in it.
    """
    expected = "expected xmin, ymin, xmax, ymax as shares of the image, 0 to 1, the first two below the others"
    if not np.isfinite(box).all() or min(box) < -MAX_OVERHANG or max(box) > 1 + MAX_OVERHANG:
        raise DataError(f"{origin} has the box {box}, {expected}: divide pixels by the image's width and height.")
    if not (box[0] < box[2] and box[1] < box[3]):
        raise DataError(f"{origin} has the box {box}, {expected}.")
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in box)
    if not (left < right and top < bottom):
        raise DataError(f"{origin} has the box {box}, which lies outside the image: {expected}.")
    cut = (left, top, right, bottom)
    if cut != box:
        report_correction(f"{origin} has the box {box}, which reaches outside the image and is cut to {cut}.")
    return cut


def box_to_bins(box: Corners) -> tuple[int, int, int, int]:
    """A box in the numbers that spell it, 0..999."""
    left, top, right, bottom = (round(min(max(edge, 0.0), 1.0) * MAX_BIN) for edge in box)
    return left, top, right, bottom


def bins_to_box(bins: Sequence[int]) -> Corners:
    """The box that four numbers spell."""
    return to_corners([value / MAX_BIN for value in bins])


def is_valid_box(box: Corners) -> bool:
    """True where no edge lies beyond its opposite."""
    return box[0] <= box[2] and box[1] <= box[3]


def box_area(box: Corners) -> float:
    """The box's share of the image; 0 for one that is inside out."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def distance_from_origin(box: Corners) -> float:
    """The distance of the upper left corner from the image's, by which boxes are ordered."""
    return float(np.hypot(box[0], box[1]))


def crop_box(box: Corners, crop: Crop) -> Corners | None:
    """The part of ``box`` that ``crop`` shows, in fractions of the crop; None where it shows nothing of it."""
    left, right = (float(np.clip((x - crop.left) / crop.width, 0, 1)) for x in (box[0], box[2]))
    top, bottom = (float(np.clip((y - crop.top) / crop.height, 0, 1)) for y in (box[1], box[3]))
    if crop.flip:
        left, right = 1 - right, 1 - left
    return (left, top, right, bottom) if right > left and bottom > top else None


def box_iou(one: Float64[np.ndarray, "n 4"], other: Float64[np.ndarray, "m 4"]) -> Float64[np.ndarray, "n m"]:
    """The intersection over union of each box with each other; 0 where both are without area."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    sizes = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (one, other)]
    union = sizes[0][:, None] + sizes[1][None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(union), where=union > 0))


def boxes_to_array(boxes: Sequence[Corners]) -> Float64[np.ndarray, "n 4"]:
    """Boxes as rows, (0, 4) where there are none."""
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def draw_box(canvas: ImageDraw.ImageDraw, box: Corners, label: str, color: tuple[int, int, int], side: int) -> None:
    """Outline a box on a square picture and write its label inside, at the upper left."""
    left, top, right, bottom = (round(edge * (side - 1)) for edge in box)
    canvas.rectangle((left, top, max(right, left), max(bottom, top)), outline=color, width=2)
    if label:
        where = (left + 3, top + 2)
        canvas.rectangle(canvas.textbbox(where, label), fill=color)
        canvas.text(where, label, fill=(255, 255, 255))


def color_for_name(name: str) -> tuple[int, int, int]:
    """A color that is always the same for one name, dark enough for white letters."""
    hue = sum(ord(letter) * (index + 7) for index, letter in enumerate(name)) % 360
    wave = [0.5 + 0.5 * np.cos(np.deg2rad(hue - shift)) for shift in (0, 120, 240)]
    red, green, blue = (int(30 + 150 * level) for level in wave)
    return red, green, blue
