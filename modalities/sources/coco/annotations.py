"""Annotation files of COCO, by image: captions, instances, segments of panoptic maps."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from modalities.errors import DataError
from modalities.sources.remote import Storage

T = TypeVar("T")


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
    images = _unique(origin, "image", [_parse(origin, "image", item, _image) for item in content["images"]])
    for entry in _entries(content, "annotations", origin):
        image, item = _parse(origin, "annotation", entry, _annotation)
        match item:
            case str():
                captions.setdefault(image, []).append(item)
            case CocoInstance():
                instances.setdefault(image, []).append(item)
            case CocoSegments():
                if image in segments:
                    raise DataError(f"{origin} has two panoptic maps of image {image}, expected one: remove one.")
                segments[image] = item
    unlisted = {*captions, *instances, *segments} - set(images)
    if unlisted:
        raise DataError(
            f"{origin} has annotations of {len(unlisted)} images that it does not list, such as {min(unlisted)}: list "
            "them in 'images', or remove the annotations."
        )
    categories = [_parse(origin, "category", item, _category) for item in _entries(content, "categories", origin)]
    licenses = [_parse(origin, "license", item, _license) for item in _entries(content, "licenses", origin)]
    return CocoFile(
        origin=origin,
        images=images,
        categories=_unique(origin, "category", categories),
        captions=captions,
        instances=instances,
        segments=segments,
        licenses=tuple(name for name in licenses if name),
    )


def _entries(content: Mapping[str, Any], name: str, origin: str) -> list[Any]:
    """A list of the file; one that is absent or null is empty."""
    found = content.get(name)
    if found is not None and not isinstance(found, list):
        raise DataError(f"{origin} has a {type(found).__name__} under {name!r}, expected a list.")
    return found or []


def _unique(origin: str, kind: str, items: Sequence[tuple[int, T]]) -> dict[int, T]:
    """Entries by number."""
    found: dict[int, T] = {}
    for number, item in items:
        if number in found:
            raise DataError(f"{origin} has two entries of {kind} {number}, expected one: remove one.")
        found[number] = item
    return found


def _parse(origin: str, kind: str, entry: Any, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        name = entry.get("id", entry.get("image_id")) if isinstance(entry, dict) else entry
        raise DataError(f"{origin}: {kind} {name} is not as COCO has it ({reason}).") from error


def _image(entry: Any) -> tuple[int, CocoImage]:
    height, width = int(entry["height"]), int(entry["width"])
    if height < 1 or width < 1:
        raise ValueError(f"it has {width} x {height} pixels")
    number = int(entry["id"])
    return number, CocoImage(image_id=number, file_name=_text(entry, "file_name"), height=height, width=width)


def _category(entry: Any) -> tuple[int, str]:
    return int(entry["id"]), _text(entry, "name")


def _license(entry: Any) -> str:
    return "" if entry.get("name") is None else _text(entry, "name")


def _text(entry: Any, name: str) -> str:
    if not isinstance(entry[name], str):
        raise TypeError(f"{name} is {json.dumps(entry[name])}, expected text")
    return str(entry[name])


def _annotation(entry: Any) -> tuple[int, str | CocoInstance | CocoSegments]:
    image = int(entry["image_id"])
    if "caption" in entry:
        return image, _text(entry, "caption")
    if "segments_info" in entry:
        categories = {int(item["id"]): int(item["category_id"]) for item in entry["segments_info"]}
        return image, CocoSegments(file_name=_text(entry, "file_name"), categories=categories)
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
