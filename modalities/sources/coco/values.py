"""COCO's annotations of one image as values: boxes, masks, class maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from modalities.errors import DataError
from modalities.geometry.boxes import Box
from modalities.sources.coco.annotations import CocoImage, CocoInstance, CocoSegments
from modalities.sources.coco.masks import decode_segmentation

IGNORED_CLASS = 255
"""Level of a class map where no class of the modality is."""


@dataclass(frozen=True, kw_only=True)
class CocoClasses:
    """Categories of an annotation file, and the classes of a modality that they are."""

    names: Mapping[int, str]
    """Name of each category."""
    levels: Mapping[int, int]
    """Index of each category among the modality's classes; categories of other names are left out."""
    any_class: bool
    """True for a modality that takes things of any class."""


def match_classes(categories: Mapping[int, str], classes: Sequence[str]) -> CocoClasses:
    """Categories and classes of equal names."""
    known = {name: index for index, name in enumerate(classes)}
    levels = {number: known[name] for number, name in categories.items() if name in known}
    return CocoClasses(names=categories, levels=levels, any_class=not classes)


def boxes_of(instances: Sequence[CocoInstance], image: CocoImage, classes: CocoClasses, origin: str) -> tuple[Box, ...]:
    """Boxes as shares of the image, cut at its edges.

    Crowds, boxes without area in the image, and things of no class of the modality are left out.

    Raises:
        DataError: A category has no name.
    """
    boxes = []
    for item in instances:
        name = _category_name(item.category, classes, f"{origin}, annotation {item.annotation_id}")
        if item.is_crowd or not (classes.any_class or item.category in classes.levels):
            continue
        x, y, width, height = item.bbox
        left, right = (min(max(edge / image.width, 0.0), 1.0) for edge in (x, x + width))
        top, bottom = (min(max(edge / image.height, 0.0), 1.0) for edge in (y, y + height))
        if left < right and top < bottom:
            boxes.append(Box(box=(left, top, right, bottom), class_name=name))
    return tuple(boxes)


def masks_of(instances: Sequence[CocoInstance], image: CocoImage, origin: str) -> Bool[np.ndarray, "k h w"]:
    """The mask of each thing; crowds are left out."""
    found = [_mask(item, image, origin) for item in instances if not item.is_crowd]
    return np.array(found, dtype=bool).reshape(-1, image.height, image.width)


def keypoints_of(instances: Sequence[CocoInstance], image: CocoImage) -> list[list[list[float]]]:
    """The people with keypoints, in the JSON of `modalities.kinds.keypoints.Keypoints`.

    A point is x, y (shares of the image) and a score: 0 where COCO has no label, 1 for hidden and visible ones.
    """
    return [
        [[x / image.width, y / image.height, float(visible > 0)] for x, y, visible in item.keypoints]
        for item in instances
        if item.keypoints
    ]


def class_map_of(
    instances: Sequence[CocoInstance], image: CocoImage, classes: CocoClasses, origin: str
) -> UInt8[np.ndarray, "h w"]:
    """Classes painted from the largest thing to the smallest, crowds included; `IGNORED_CLASS` where there is none."""
    painted: UInt8[np.ndarray, "h w"] = np.full((image.height, image.width), IGNORED_CLASS, dtype=np.uint8)
    masks = [(_mask(item, image, origin), item) for item in instances]
    for mask, item in sorted(masks, key=lambda pair: -int(pair[0].sum())):
        painted[mask] = classes.levels.get(item.category, IGNORED_CLASS)
    return painted


def panoptic_map_of(
    ids: Int64[np.ndarray, "h w"], segments: CocoSegments, classes: CocoClasses, origin: str
) -> UInt8[np.ndarray, "h w"]:
    """Classes of the segments of a panoptic map; `IGNORED_CLASS` where there is none.

    Args:
        ids: Segment of each pixel; 0 for none.

    Raises:
        DataError: A pixel is of a segment that is not listed.
    """
    known, places = np.unique(ids, return_inverse=True)
    unknown = [int(number) for number in known if number != 0 and int(number) not in segments.categories]
    if unknown:
        raise DataError(f"{origin} has pixels of segment {unknown[0]}, which its JSON does not list.")
    table = [classes.levels.get(segments.categories.get(int(number), -1), IGNORED_CLASS) for number in known]
    painted: UInt8[np.ndarray, "h w"] = np.array(table, dtype=np.uint8)[places].reshape(ids.shape)
    return painted


def _mask(item: CocoInstance, image: CocoImage, origin: str) -> Bool[np.ndarray, "h w"]:
    where = f"{origin}, annotation {item.annotation_id}"
    return decode_segmentation(item.segmentation, image.height, image.width, where)


def _category_name(category: int, classes: CocoClasses, origin: str) -> str:
    if category not in classes.names:
        raise DataError(f"{origin} is of category {category}, which the file does not list.")
    return classes.names[category]
