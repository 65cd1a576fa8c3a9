"""What is examined: a source and the settings of a run on it, from what a person writes on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.data_source import YAML_SUFFIXES, parse_data
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities, find_config, load_config, shipped_configs
from experiments.schema.sections import DataConfig
from modalities.errors import BrokenPluginError, DataError
from modalities.presets import PRESETS
from modalities.registry import Registry, default_registry
from modalities.sources.base import Source
from modalities.sources.open import open_source
from modalities.spec import Modality

ARM = "examined"
"""Arm of a source that no config belongs to."""

_DATA_SETTINGS = ("data.", "scale.")
"""Beginnings of settings that say nothing of the model and its training."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A source, and the run that would read it."""

    config: ExperimentConfig
    has_run: bool
    """True where a person gave a config or settings of the run; otherwise nothing is known but its data."""
    source: Source
    modalities: Mapping[str, Modality]
    notes: tuple[str, ...] = ()
    """Sentences on what was assumed."""


def open_subject(
    text: str,
    overrides: Sequence[str] = (),
    names: Sequence[str] = (),
    scale: Mapping[str, str] | None = None,
) -> Subject:
    """The source that ``text`` stands for: ``kind:path``, a folder's path, or a config.

    Args:
        overrides: Settings of the run, ``key=value``.
        names: Modalities or presets to examine; empty for those of the config, or for all that the source has.
        scale: Settings of `ScaleConfig` in place of the config's.

    Raises:
        UserError: There is no such source, or the settings do not fit it.
    """
    registry, notes = default_registry(), list[str]()
    is_config = _is_config(text)
    overrides = [*overrides, *(f"scale.{key}={value}" for key, value in (scale or {}).items())]
    config = load_config(find_config(text) if is_config else None, overrides)
    if not is_config:
        config = replace(config, data=_named_data(text, config.data, overrides, notes))
    if names or not is_config:
        config = replace(config, arms={ARM: list(names) or _all_modalities(config, registry, notes)}, resolutions={})
    modalities = build_modalities(config, registry)
    return Subject(
        config=config,
        has_run=is_config or any(not item.startswith(_DATA_SETTINGS) for item in overrides),
        source=open_source(config.data.source, modalities),
        modalities=modalities,
        notes=tuple(notes),
    )


def _is_config(text: str) -> bool:
    return not Path(text).is_dir() and (text.endswith(YAML_SUFFIXES) or text in shipped_configs())


def _named_data(text: str, given: DataConfig, overrides: Sequence[str], notes: list[str]) -> DataConfig:
    """The data that ``text`` names, with the settings of a person's overrides, and all samples where they say none."""
    data, lines = parse_data(text)
    notes += lines
    numbers = {
        name: getattr(given if any(item.startswith(f"data.{name}=") for item in overrides) else data, name)
        for name in ("train", "validation")
    }
    return replace(given, source=replace(data.source, options=given.source.options), **numbers)


def _all_modalities(config: ExperimentConfig, registry: Registry, notes: list[str]) -> list[str]:
    """Names of the installed modalities that the source has values of.

    Raises:
        DataError: It has none.
    """
    installed: dict[str, Modality] = {}
    for name in registry:
        try:
            installed[name] = registry[name].scaled(config.scale)
        except BrokenPluginError as error:
            notes.append(f"{name} is left out: {error}")
    source = open_source(config.data.source, installed)
    found = [name for name, item in installed.items() if source.explain_missing(item) is None]
    if not found:
        raise DataError(
            f"{source.name} has no modality that is installed; those are {', '.join(installed)}. Presets: "
            f"{', '.join(PRESETS)}."
        )
    return found
