"""The samples of one COCO set: its images by key, and what its annotation files say of each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modalities.errors import DataError
from modalities.sources.cache import FileCache
from modalities.sources.coco.annotations import CocoFile, CocoImage, CocoInstance, read_coco_file
from modalities.sources.coco.layout import IMAGE_FOLDERS, MAP_FOLDERS, CocoSet, find_folder, join
from modalities.sources.coco.masks import read_panoptic
from modalities.sources.coco.values import (
    boxes_of,
    class_map_of,
    keypoints_of,
    masks_of,
    match_classes,
    panoptic_map_of,
)
from modalities.sources.remote import FileEntry, Storage
from modalities.sources.stored import Stored, StoredBytes, StoredFile, StoredValue

CONTENT_FILES: Mapping[str, str] = {
    "images": "",
    "boxes": "instances",
    "instances": "instances",
    "classes": "instances",
    "panoptic": "panoptic",
    "captions": "captions",
    "keypoints": "keypoints",
}
"""What COCO has of an image, and the annotation file that holds it."""

_coco_file = FileCache(read_coco_file, max_files=8)


@dataclass(frozen=True, kw_only=True)
class CocoSamples:
    """One set, its annotation files read when they are needed."""

    storage: Storage
    entries: Mapping[str, FileEntry]
    """Every file of the data by its name."""
    coco_set: CocoSet
    images_option: str = ""
    """Folder of the images; empty to look for it."""

    def file(self, kind: str) -> CocoFile | None:
        """The set's annotation file of a kind, or None."""
        name = self.coco_set.files.get(kind)
        return _coco_file(self.storage, self.entries[name]) if name else None

    def images(self, kinds: tuple[str, ...]) -> dict[str, CocoImage]:
        """The images that any of some annotation files lists, by key: the set and the file's name without its type.

        Raises:
            DataError: Two images have one key.
        """
        found: dict[str, CocoImage] = {}
        for file in [file for kind in kinds if (file := self.file(kind)) is not None]:
            for image in file.images.values():
                key = join(self.coco_set.name, str(PurePosixPath(image.file_name).with_suffix("")))
                if found.setdefault(key, image).image_id != image.image_id:
                    raise DataError(f"{file.origin} has two images named {key}, expected one.")
        return found

    def image_entry(self, image: CocoImage) -> FileEntry | None:
        """The image's file, or None where it is missing."""
        folders = (self.images_option,) if self.images_option else IMAGE_FOLDERS
        folder = find_folder(folders, self.coco_set.name, image.file_name, self.entries)
        return None if folder is None else self.entries[join(folder, image.file_name)]

    def stored(self, content: str, image: CocoImage, classes: tuple[str, ...]) -> Stored | None:
        """What the set has of an image, or None.

        Args:
            content: See `CONTENT_FILES`.
            classes: Of the modality that the value is for.
        """
        if content == "images":
            return self._stored_image(image)
        file = self.file(CONTENT_FILES[content])
        if file is None or image.image_id not in file.images:
            return None
        origin = f"{file.origin}, image {image.image_id}"
        if content == "captions":
            captions = file.captions.get(image.image_id)
            return StoredValue(value=captions, origin=origin) if captions else None
        if content == "panoptic":
            return self._stored_panoptic(file, image, classes)
        return _stored_instances(content, file, image, classes, origin)

    def _stored_image(self, image: CocoImage) -> Stored | None:
        entry = self.image_entry(image)
        if entry is None:
            return None
        path, origin = self.storage.local_path(entry.name), self.storage.origin(entry.name)
        if path is not None:
            return StoredFile(path=path)
        return StoredBytes(data=self.storage.read(entry.name), suffix=PurePosixPath(entry.name).suffix, origin=origin)

    def _stored_panoptic(self, file: CocoFile, image: CocoImage, classes: tuple[str, ...]) -> Stored | None:
        segments = file.segments.get(image.image_id)
        if segments is None:
            return None
        folder = find_folder(MAP_FOLDERS, self.coco_set.name, segments.file_name, self.entries)
        if folder is None:
            raise DataError(
                f"{file.origin} names the map {segments.file_name}, which is in none of the folders "
                f"{', '.join(name.format(set=self.coco_set.name) for name in MAP_FOLDERS)} of {self.storage.root}."
            )
        name = join(folder, segments.file_name)
        origin = self.storage.origin(name)
        ids = read_panoptic(self.storage.read(name), origin)
        painted = panoptic_map_of(ids, segments, match_classes(file.categories, classes), origin)
        return StoredValue(value=painted, origin=origin)


def _stored_instances(
    content: str, file: CocoFile, image: CocoImage, classes: tuple[str, ...], origin: str
) -> Stored | None:
    """Boxes, masks, a class map or keypoints; an image without things has no boxes and masks, but no map."""
    things: list[CocoInstance] = file.instances.get(image.image_id, [])
    matched = match_classes(file.categories, classes)
    match content:
        case "boxes":
            return StoredValue(value=boxes_of(things, image, matched, origin), origin=origin)
        case "instances":
            return StoredValue(value=masks_of(things, image, origin), origin=origin)
        case "classes":
            painted = class_map_of(things, image, matched, origin) if things else None
            return None if painted is None else StoredValue(value=painted, origin=origin)
        case _:
            people: Any = keypoints_of(things, image)
            return StoredBytes(data=json.dumps(people).encode(), suffix=".json", origin=origin)
