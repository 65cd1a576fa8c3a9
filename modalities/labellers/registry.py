"""Labellers by name: built in, or published by installed packages; each imported on demand."""

import importlib
from collections.abc import Mapping
from functools import partial

from modalities.errors import BrokenPluginError, ConfigError
from modalities.labellers.base import Labeller
from modalities.registry import PluginProvider, PluginRegistry, installed_providers

LABELLER_ENTRY_POINT_GROUP = "fourm.labellers"
"""Entry-point group under which a package publishes labellers, each a `Labeller`."""

BUILTIN_LABELLERS: Mapping[str, str] = {
    "canny_edges": "modalities.labellers.exact:CANNY_EDGES",
    "color_palette": "modalities.labellers.exact:COLOR_PALETTE",
    "metadata_image": "modalities.labellers.exact:METADATA_IMAGE",
    "metadata_semantic": "modalities.labellers.exact_metadata:METADATA_SEMANTIC",
    "metadata_geometric": "modalities.labellers.exact_metadata:METADATA_GEOMETRIC",
    "metadata": "modalities.labellers.exact_metadata:METADATA",
    "normals_from_depth": "modalities.labellers.exact:NORMALS_FROM_DEPTH",
    "sam_edges": "modalities.labellers.exact:SAM_EDGES",
}
"""Module and name of each built-in labeller."""


class LabellerRegistry(PluginRegistry[Labeller]):
    """Names to labellers."""

    kind = "labeller"

    def _check(self, provider: PluginProvider, value: object) -> Labeller:
        if not isinstance(value, Labeller):
            raise BrokenPluginError(f"{provider.origin} published a {type(value).__name__}, expected a Labeller.")
        if value.name != provider.name:
            raise BrokenPluginError(
                f"{provider.origin} is published as {provider.name!r} but calls itself {value.name!r}."
            )
        return value

    def find(self, output: str) -> Labeller:
        """The labeller that makes the modality ``output``.

        Raises:
            ConfigError: There is none, or several, of which the message asks to choose one.
        """
        loaded, broken = self.load_all()
        found = [labeller.name for labeller in loaded.values() if labeller.output == output]
        if len(found) == 1:
            return loaded[found[0]]
        if found:
            raise ConfigError(
                f"{output!r} is made by {', '.join(found)}: choose one with --labeller {output}={found[0]}."
            )
        outputs = ", ".join(sorted({labeller.output for labeller in loaded.values()}))
        reasons = "".join(f" {problem}" for problem in broken)
        raise ConfigError(
            f"No labeller makes {output!r}. Labellers make {outputs}; a network makes others: "
            f"--expert {output}=FOLDER_OR_HUB_NAME.{reasons}"
        )

    def load_all(self) -> tuple[dict[str, Labeller], list[str]]:
        """Every labeller that can be loaded, and one line for each that cannot."""
        loaded: dict[str, Labeller] = {}
        problems: list[str] = []
        for name in self:
            try:
                loaded[name] = self[name]
            except BrokenPluginError as error:
                problems.append(str(error))
        return loaded, problems


def default_labellers() -> LabellerRegistry:
    """A fresh registry of every labeller that is built in or installed.

    Raises:
        DuplicateNameError: An installed package takes a name that is already there.
    """
    builtin = [
        PluginProvider(name=name, origin=target, load=partial(_load_builtin, target))
        for name, target in BUILTIN_LABELLERS.items()
    ]
    return LabellerRegistry([*builtin, *installed_providers(LABELLER_ENTRY_POINT_GROUP)])


def _load_builtin(target: str) -> object:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
