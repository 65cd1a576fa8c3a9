"""Where the images and annotation files of a COCO data set lie, set by set."""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from modalities.errors import DataError
from modalities.sources.remote import FileEntry
from modalities.sources.splits import SPLIT_ALIASES

KINDS: Mapping[str, str] = {
    "instances": "instances",
    "captions": "captions",
    "panoptic": "panoptic",
    "person_keypoints": "keypoints",
    "keypoints": "keypoints",
}
"""Names that annotation files begin with, and what is in them."""

_ANNOTATIONS = re.compile(rf"(?:.*/)?({'|'.join(KINDS)})(?:_([^/]+))?\.json")


IMAGE_FOLDERS = ("{set}", "images/{set}", "images", "")
"""Where a set's images are looked for."""
MAP_FOLDERS = ("annotations/panoptic_{set}", "panoptic_{set}", "panoptic/{set}", "annotations/panoptic", "panoptic")
"""Where its panoptic maps are looked for."""


@dataclass(frozen=True, kw_only=True)
class CocoSet:
    """One set of images, such as ``train2017``."""

    name: str
    """Ending of its annotation files' names; empty where they have none."""
    split: str
    """Split that the name stands for; empty for a set without one."""
    files: Mapping[str, str]
    """Annotation file by what is in it, see `KINDS`."""


def find_sets(entries: Iterable[FileEntry], origin: str) -> tuple[CocoSet, ...]:
    """The sets that have annotation files, in the order of their names.

    Args:
        origin: Names the data in messages.

    Raises:
        DataError: There are no annotation files, two of one kind and set, or sets with a split beside one without.
    """
    files: dict[str, dict[str, str]] = {}
    for entry in entries:
        match = _ANNOTATIONS.fullmatch(entry.name)
        if match is None:
            continue
        kinds = files.setdefault(match[2] or "", {})
        if KINDS[match[1]] in kinds:
            raise DataError(f"{origin} has {kinds[KINDS[match[1]]]} and {entry.name}, expected one of them.")
        kinds[KINDS[match[1]]] = entry.name
    if not files:
        raise DataError(
            f"{origin} has no annotation files of COCO, expected annotations/instances_train2017.json, "
            "captions_train2017.json, panoptic_train2017.json or person_keypoints_train2017.json, or one without a set."
        )
    sets = tuple(CocoSet(name=name, split=split_of_set(name), files=files[name]) for name in sorted(files))
    if len({bool(item.split) for item in sets}) > 1:
        names = ", ".join(item.name or "one without a name" for item in sets)
        raise DataError(
            f"{origin} has the sets {names}: expected names that begin with train, val or test, or no names."
        )
    return sets


def find_folder(candidates: Iterable[str], set_name: str, file: str, known: Container[str]) -> str | None:
    """The first folder that has a file, its name filled in; None where none has."""
    folders = [candidate.format(set=set_name).strip("/") for candidate in candidates]
    return next((folder for folder in folders if join(folder, file) in known), None)


def join(folder: str, file: str) -> str:
    """A file's path below the root."""
    return f"{folder}/{file}" if folder else file


def split_of_set(name: str) -> str:
    """The split that a set's name begins with, such as ``train2017``; empty where it begins with none."""
    match = re.match(r"[a-z]+", name.lower())
    return SPLIT_ALIASES.get(match[0], "") if match else ""
