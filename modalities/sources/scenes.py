"""The procedural scenes as a data source: any number of samples, exact values, no files."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from modalities.conformance.subject import values_equal
from modalities.errors import BrokenPluginError, ConfigError, DataError, UnknownNameError
from modalities.labels import THINGS
from modalities.layouts import Dense
from modalities.scenes.scene import Scene, make_scene
from modalities.scenes.views import VIEW_ENTRY_POINT_GROUP, SceneView, SceneViews, default_views, view_module
from modalities.scenes.world import SPLITS, split_seed
from modalities.sources.base import ENDLESS, module_digest
from modalities.sources.config import SourceConfig
from modalities.spec import Modality, Value

DEFAULT_SCENE_SIZE = 224
"""Side of scenes, in pixels, where no modality is a grid."""
NUM_SCENES = ENDLESS
"""Scenes of one split."""
CONFORMANCE_SEEDS = (5, 12, 29)
"""Scenes that `scene_values` shows: with and without people."""


class SceneKeys(Sequence[str]):
    """Keys of one split's scenes, ``split/number``, made when they are read."""

    def __init__(self, split: str) -> None:
        self._split = split

    def __len__(self) -> int:
        return NUM_SCENES

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return f"{self._split}/{range(NUM_SCENES)[index]}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenesSource:
    """Procedural scenes. A modality is read through its view (`modalities.scenes.views`)."""

    size: int = DEFAULT_SCENE_SIZE
    """Side of the scenes that sequences and vectors are read from, in pixels; a grid is read at its own size."""
    views: SceneViews = field(default_factory=default_views)
    name: str = "scenes"
    description: str = "procedural scenes"
    license: str = "CC0-1.0"
    splits: tuple[str, ...] = SPLITS
    class_names: tuple[str, ...] = tuple(sorted(THINGS))

    @classmethod
    def for_modalities(cls, modalities: Mapping[str, Modality], views: SceneViews | None = None) -> "ScenesSource":
        """The source at the size of the first grid among ``modalities``."""
        sizes = [item.layout.size for item in modalities.values() if isinstance(item.layout, Dense)]
        size = sizes[0] if sizes else DEFAULT_SCENE_SIZE
        return cls(size=size, views=default_views() if views is None else views)

    def keys(self, split: str) -> SceneKeys:
        """The keys of a split's scenes.

        Raises:
            UnknownNameError: There is no such split.
        """
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        return SceneKeys(split)

    def read(self, key: str, modality: Modality) -> Value:
        """The value of ``modality`` in the scene ``key``.

        Raises:
            DataError: The modality has no view.
        """
        split, _, number = key.partition("/")
        return self.view(modality)(_scene(split_seed(split, int(number)), _scene_size(modality, self.size)), modality)

    def explain_missing(self, modality: Modality) -> str | None:
        """The way to add a view of ``modality``, or None where there is one."""
        if _view_name(modality) in self.views:
            return None
        return (
            f"Scenes do not show {modality.name!r}: publish a function (scene, modality) -> value as its view under "
            f"the entry-point group {VIEW_ENTRY_POINT_GROUP!r}, or leave {modality.name!r} out."
        )

    def fingerprint(self, modality: Modality) -> str:
        """A digest of the file of a view that another package brings; of the built-in ones their name alone."""
        return f"{self.name} {module_digest(view_module(self.view(modality)))}".strip()

    def view(self, modality: Modality) -> SceneView:
        """The function that shows ``modality`` in a scene.

        Raises:
            DataError: There is none.
        """
        problem = self.explain_missing(modality)
        if problem is not None:
            raise DataError(problem)
        return self.views[_view_name(modality)]


def open_scenes(config: SourceConfig, modalities: Mapping[str, Modality]) -> ScenesSource:
    """The scenes at the size of the first grid among ``modalities``; they take no path and no options.

    Raises:
        ConfigError: The settings give a path or options.
    """
    if config.path or config.options:
        given = f"the path {config.path!r}" if config.path else f"the options {', '.join(config.options)}"
        raise ConfigError(f"Scenes are made, not read: data.source takes no path and no options, got {given}.")
    return ScenesSource.for_modalities(modalities)


def scene_values(
    modality: Modality, view: SceneView | None = None, *, size: int = 64, seeds: Sequence[int] = CONFORMANCE_SEEDS
) -> list[Value]:
    """Values of a modality in a few scenes, for `assert_conforms`.

    Args:
        view: Its view; None stands for the built-in or installed one.
        size: Side of the scenes that sequences and vectors are read from, in pixels.

    Raises:
        BrokenPluginError: The view gives another value when the same scene is made again.
        DataError: The modality has no view.
    """
    chosen = ScenesSource().view(modality) if view is None else view
    side = _scene_size(modality, size)
    values, again = ([chosen(make_scene(seed, size=side), modality) for seed in seeds] for _ in range(2))
    for seed, value, other in zip(seeds, values, again, strict=True):
        if not values_equal(value, other, 0.0):
            raise BrokenPluginError(f"The view of {modality.name!r} gave two values of the scene with seed {seed}.")
    return values


def _view_name(modality: Modality) -> str:
    return modality.base or modality.name


def _scene_size(modality: Modality, default: int) -> int:
    return modality.layout.size if isinstance(modality.layout, Dense) else default


@functools.lru_cache(maxsize=8)
def _scene(seed: int, size: int) -> Scene:
    """A scene that all modalities of a sample share; the last few are kept."""
    return make_scene(seed, size=size)
