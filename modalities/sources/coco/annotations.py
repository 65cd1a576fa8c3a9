"""Annotation files of COCO, by image: captions, instances, segments of panoptic maps."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modalities.errors import DataError
from modalities.sources.remote import Storage


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """One image."""

    image_id: int
    file_name: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class CocoInstance:
    """One thing, or a crowd of things of one class."""

    annotation_id: int
    category: int
    bbox: tuple[float, float, float, float]
    """x, y, width, height in pixels."""
    segmentation: Any
    """Polygons or run lengths, see `modalities.sources.coco.masks`; None where the annotation has none."""
    is_crowd: bool
    keypoints: tuple[tuple[float, float, float], ...] = ()
    """x, y in pixels and visibility of each joint: 0 for not labelled, 1 for hidden, 2 for visible."""


@dataclass(frozen=True, kw_only=True)
class CocoSegments:
    """The segments of one panoptic map."""

    file_name: str
    categories: Mapping[int, int]
    """Category of each segment that the map's colours number."""


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """One annotation file."""

    origin: str
    """Its path or URL."""
    images: Mapping[int, CocoImage]
    categories: Mapping[int, str]
    """Names of the categories; empty for captions."""
    captions: Mapping[int, list[str]]
    """Texts by image."""
    instances: Mapping[int, list[CocoInstance]]
    """Things by image."""
    segments: Mapping[int, CocoSegments]
    """Panoptic map by image."""
    licenses: tuple[str, ...] = ()
    """Names of the images' licences."""


def read_coco_file(storage: Storage, name: str) -> CocoFile:
    """An annotation file; what it holds besides the entries of `CocoFile` is left out.

    Raises:
        DataError: It is missing, no JSON, or an entry has another form; the message names the entry.
    """
    origin = storage.origin(name)
    try:
        content = json.loads(storage.read(name))
    except ValueError as error:
        raise DataError(f"{origin} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{origin} has no list of images, expected an annotation file of COCO.")
    captions: dict[int, list[str]] = {}
    instances: dict[int, list[CocoInstance]] = {}
    segments: dict[int, CocoSegments] = {}
    for entry in content.get("annotations", ()):
        image, item = _parse(origin, "annotation", entry, _annotation)
        match item:
            case str():
                captions.setdefault(image, []).append(item)
            case CocoInstance():
                instances.setdefault(image, []).append(item)
            case CocoSegments():
                segments[image] = item
    images = [_parse(origin, "image", entry, _image) for entry in content["images"]]
    categories = [_parse(origin, "category", entry, _category) for entry in content.get("categories", ())]
    return CocoFile(
        origin=origin,
        images={item.image_id: item for item in images},
        categories=dict(categories),
        captions=captions,
        instances=instances,
        segments=segments,
        licenses=tuple(str(item["name"]) for item in content.get("licenses", ()) if "name" in item),
    )


def _parse(origin: str, kind: str, entry: Any, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        name = entry.get("id", entry.get("image_id")) if isinstance(entry, dict) else entry
        raise DataError(f"{origin}: {kind} {name} is not as COCO has it ({reason}).") from error


def _image(entry: Any) -> CocoImage:
    height, width = int(entry["height"]), int(entry["width"])
    if height < 1 or width < 1:
        raise ValueError(f"it has {width} x {height} pixels")
    return CocoImage(image_id=int(entry["id"]), file_name=str(entry["file_name"]), height=height, width=width)


def _category(entry: Any) -> tuple[int, str]:
    return int(entry["id"]), str(entry["name"])


def _annotation(entry: Any) -> tuple[int, str | CocoInstance | CocoSegments]:
    image = int(entry["image_id"])
    if "caption" in entry:
        return image, str(entry["caption"])
    if "segments_info" in entry:
        categories = {int(item["id"]): int(item["category_id"]) for item in entry["segments_info"]}
        return image, CocoSegments(file_name=str(entry["file_name"]), categories=categories)
    x, y, width, height = (float(number) for number in entry["bbox"])
    return image, CocoInstance(
        annotation_id=int(entry["id"]),
        category=int(entry["category_id"]),
        bbox=(x, y, width, height),
        segmentation=entry.get("segmentation"),
        is_crowd=bool(entry.get("iscrowd", 0)),
        keypoints=_keypoints(entry.get("keypoints", ())),
    )


def _keypoints(numbers: Any) -> tuple[tuple[float, float, float], ...]:
    if len(numbers) % 3:
        raise ValueError(f"{len(numbers)} numbers of keypoints, expected three for each")
    triples = [tuple(float(number) for number in numbers[start : start + 3]) for start in range(0, len(numbers), 3)]
    return tuple((x, y, visible) for x, y, visible in triples)
