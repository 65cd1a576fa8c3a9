"""The source of images with annotations in COCO's format."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from modalities.errors import ConfigError, UnknownNameError
from modalities.sources.coco.annotations import CocoImage
from modalities.sources.coco.layout import find_sets
from modalities.sources.coco.samples import CONTENT_FILES, CocoSamples
from modalities.sources.config import SourceConfig
from modalities.sources.remote import open_storage
from modalities.sources.splits import DEFAULT_SHARES, SPLIT_OPTIONS, split_keys
from modalities.sources.stored import Stored, StoredSource
from modalities.spec import Modality
from modalities.variants import class_names_of

DEFAULT_CONTENTS: Mapping[str, str] = {
    "rgb": "images",
    "bounding_boxes": "boxes",
    "sam_instances": "instances",
    "semseg": "panoptic",
    "caption": "captions",
    "human_poses": "keypoints",
}
"""What of COCO's contents a built-in modality is; a class map is made of instances where there are no panoptic maps."""

_BODY_MODELS = ("human_poses",)
"""Modalities of bodies in three dimensions, which points in an image do not determine."""


class CocoSource(StoredSource):
    """Images with captions, boxes, instances, panoptic maps and keypoints in COCO's format.

    Path: a folder or URL with ``annotations/{instances,captions,panoptic,person_keypoints}_SET.json``, the images of
    each set in ``SET/``, ``images/SET/`` or ``images/``, and its panoptic maps in ``annotations/panoptic_SET/``. Sets
    whose names begin with train, val or test are the splits; files without a set's name are split by shares.

    Crowds (``iscrowd``) are groups that nobody took apart: they enter class maps, and neither boxes nor instances.

    Options:
        columns: What a modality is: images, boxes, instances, classes (a map made of instances), panoptic, captions or
            keypoints (for a modality of the kind `Keypoints`; see `modalities.sources.coco.values.keypoints_of`).
        images: Folder of the images; ``{set}`` stands for the set's name.
        ignore_categories: True to leave out categories that are no class of a map or of boxes; else they are refused.
        splits, group: For data without sets, see `modalities.sources.splits`.
        storage: Arguments of fsspec's file system.
    """

    kind = "coco"
    known_options = ("columns", "images", "ignore_categories", "storage", *SPLIT_OPTIONS)

    def __init__(self, config: SourceConfig, modalities: Mapping[str, Modality]) -> None:
        """Find the annotation files; they are read when samples are asked for.

        Raises:
            UserError: There are none, or an option is malformed.
        """
        super().__init__(config, modalities)
        options = config.options
        self.storage = open_storage(config.path, options.get("storage"))
        self.entries = {entry.name: entry for entry in self.storage.walk()}
        self.samples = {
            item.name: CocoSamples(
                storage=self.storage,
                entries=self.entries,
                coco_set=item,
                images_option=str(options.get("images") or ""),
            )
            for item in find_sets(self.entries.values(), config.path)
        }
        self.has_sets = any(item.coco_set.split for item in self.samples.values())
        if self.has_sets and (given := [name for name in SPLIT_OPTIONS if name in options]):
            raise ConfigError(f"{config.path} has sets that are splits: options.{given[0]} has no effect, remove it.")
        self.contents = _parse_contents(options.get("columns", {}))

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits of the sets, or those of the option."""
        if self.has_sets:
            return tuple(dict.fromkeys(item.coco_set.split for item in self.samples.values()))
        return tuple(self.config.options.get("splits", DEFAULT_SHARES))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the run's modalities, and categories of the annotation files that it reads."""
        kinds = [CONTENT_FILES[content] for item in self.modalities.values() if (content := self._content(item))]
        names = {name for kind in kinds for name in self._categories(kind).values()}
        return tuple(sorted({*super().class_names, *names}))

    @property
    def license(self) -> str:
        """``options.license``, or the licences that the annotation files name."""
        given = self.config.options.get("license")
        files = [item.file(kind) for item in self.samples.values() for kind in self._kinds]
        names = dict.fromkeys(name for file in files if file is not None for name in file.licenses)
        return str(given or ", ".join(names) or "unknown")

    def sample_keys(self, split: str) -> Sequence[str]:
        """``SET/FILE`` of every image, without the file's type."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        return self._keys_by_split[split]

    def stored(self, key: str, modality: Modality) -> Stored | None:
        """What the annotation files have of the image."""
        content = self._content(modality)
        if not content:
            return None
        samples, image = self._images[key]
        return samples.stored(content, image, class_names_of(modality))

    def explain_missing(self, modality: Modality) -> str | None:
        """Why no annotation file gives the modality, or why its classes are not the data's."""
        content = self._content(modality)
        if not content:
            return self._no_content(modality)
        if content == "keypoints" and (modality.base or modality.name) in _BODY_MODELS:
            return (
                f"{self.name} has keypoints, which are points in the image: they do not determine the body that "
                f"{modality.name!r} describes. Leave {modality.name!r} out, or label it by an expert."
            )
        kind = CONTENT_FILES[content]
        if kind and all(kind not in item.coco_set.files for item in self.samples.values()):
            return f"{self.name} has no annotation file {kind}_SET.json for {modality.name!r}: leave it out."
        return self._explain_classes(modality, kind) if content in ("boxes", "classes", "panoptic") else None

    def data_fingerprint(self, modality: Modality) -> str:
        """Sizes and times of the annotation files, or of the images, and the keys of all samples."""
        content = self._content(modality)
        kind = CONTENT_FILES[content]
        names = [item.coco_set.files.get(kind) for item in self.samples.values()]
        annotations = [self.entries[name] for name in names if name]
        files: list[object] = []
        if content == "images":
            files = [item.image_entry(image) for item, image in self._images.values()]
        elif content == "panoptic":
            files = [entry for name, entry in self.entries.items() if "panoptic" in name and name.endswith(".png")]
        facts = (content, class_names_of(modality), annotations, files, self._keys_by_split)
        return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()

    @functools.cached_property
    def _kinds(self) -> tuple[str, ...]:
        """Kinds of the annotation files that the run reads; the first that there is, where it reads images alone."""
        known = [kind for item in self.samples.values() for kind in item.coco_set.files]
        needed = {CONTENT_FILES[content] for item in self.modalities.values() if (content := self._content(item))}
        return tuple(kind for kind in dict.fromkeys(known) if kind in needed) or (known[0],)

    @functools.cached_property
    def _images(self) -> dict[str, tuple[CocoSamples, CocoImage]]:
        return {key: (item, image) for item in self.samples.values() for key, image in item.images(self._kinds).items()}

    @functools.cached_property
    def _keys_by_split(self) -> dict[str, list[str]]:
        if not self.has_sets:
            folder = self.storage.local_path("") or Path()
            return split_keys(self._images, self.config.options, self.name, folder)
        found: dict[str, list[str]] = {split: [] for split in self.splits}
        for key, (item, _) in self._images.items():
            found[item.coco_set.split].append(key)
        return {split: sorted(keys) for split, keys in found.items()}

    def _content(self, modality: Modality) -> str:
        """What of COCO's contents a modality is; empty for none."""
        content = self.contents.get(modality.name) or DEFAULT_CONTENTS.get(modality.base or modality.name, "")
        is_default = modality.name not in self.contents
        has_panoptic = any("panoptic" in item.coco_set.files for item in self.samples.values())
        return "classes" if is_default and content == "panoptic" and not has_panoptic else content

    def _categories(self, kind: str) -> dict[int, str]:
        files = [item.file(kind) for item in self.samples.values()] if kind else []
        return {number: name for file in files if file is not None for number, name in file.categories.items()}

    def _no_content(self, modality: Modality) -> str:
        return (
            f"{self.name} has nothing for {modality.name!r}: say what it is in options.columns (one of "
            f"{', '.join(CONTENT_FILES)}), or leave it out."
        )

    def _explain_classes(self, modality: Modality, kind: str) -> str | None:
        classes = class_names_of(modality)
        unknown = [name for name in self._categories(kind).values() if name not in classes]
        if not classes or not unknown or self.config.options.get("ignore_categories"):
            return None
        return (
            f"{self.name} has {len(unknown)} categories that are no classes of {modality.name!r}, such as "
            f"{unknown[0]!r}: name them in a file, data.classes={{{modality.name}: FILE}}, or set "
            "options.ignore_categories=true."
        )


def _parse_contents(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"options.columns must map modalities to contents of COCO, got {given!r}.")
    for content in given.values():
        if content not in CONTENT_FILES:
            raise UnknownNameError("content of COCO", str(content), CONTENT_FILES)
    return {str(name): str(content) for name, content in given.items()}
