"""Kinds of data sources by name: built in, or published by installed packages; each imported on demand."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from modalities.errors import BrokenPluginError
from modalities.registry import PluginProvider, PluginRegistry, installed_providers
from modalities.sources.base import Source
from modalities.sources.config import SourceConfig
from modalities.spec import Modality

SourceOpener: TypeAlias = Callable[[SourceConfig, Mapping[str, Modality]], Source]
"""Opens a source for the modalities of a run, which are at the run's scale."""

SOURCE_ENTRY_POINT_GROUP = "fourm.sources"
"""Entry-point group under which a package publishes kinds of sources, each a `SourceOpener`."""

BUILTIN_SOURCES: Mapping[str, str] = {
    "scenes": "modalities.sources.scenes:open_scenes",
    "coco": "modalities.sources.coco.source:CocoSource",
    "folder": "modalities.sources.folder.source:FolderSource",
    "huggingface": "modalities.sources.huggingface.source:HuggingFaceSource",
    "mixture": "modalities.sources.mixture:open_mixture",
    "webdataset": "modalities.sources.webdataset.source:WebDatasetSource",
}
"""Module and function of each built-in kind."""


class SourceRegistry(PluginRegistry[SourceOpener]):
    """Names of kinds to the functions that open them, loaded lazily."""

    kind = "data source"

    def _check(self, provider: PluginProvider, value: object) -> SourceOpener:
        if not callable(value):
            raise BrokenPluginError(
                f"{provider.origin} published a {type(value).__name__}, "
                "expected a function (config, modalities) -> Source."
            )
        return value


def default_sources() -> SourceRegistry:
    """A fresh registry of every kind that is built in or installed.

    Raises:
        DuplicateNameError: An installed package takes a name that is already there.
    """
    return SourceRegistry([*_builtin_providers(), *installed_providers(SOURCE_ENTRY_POINT_GROUP)])


def _builtin_providers() -> list[PluginProvider]:
    return [
        PluginProvider(name=name, origin=target, load=partial(_load_builtin, target))
        for name, target in BUILTIN_SOURCES.items()
    ]


def _load_builtin(target: str) -> object:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)
