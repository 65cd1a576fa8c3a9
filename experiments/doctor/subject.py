"""What is examined: a source and the settings of a run on it, from what a person writes on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities, find_config, load_config, shipped_configs
from modalities.errors import BrokenPluginError, ConfigError, DataError
from modalities.presets import PRESETS
from modalities.registry import Registry, default_registry
from modalities.sources.base import Source
from modalities.sources.config import SourceConfig, parse_source
from modalities.sources.open import open_source
from modalities.spec import Modality

FOLDER_KIND = "folder"
ARM = "examined"
"""Arm of a source that no config belongs to."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A source, and the run that would read it."""

    config: ExperimentConfig
    has_config: bool
    """True where a person gave a config or settings of the run; otherwise nothing is known but the data."""
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
    has_config = is_config or bool(overrides)
    overrides = [*overrides, *(f"scale.{key}={value}" for key, value in (scale or {}).items())]
    config = load_config(find_config(text) if is_config else None, overrides)
    if not is_config:
        source, note = _parse(text)
        notes += [note] if note else []
        options = config.data.source.options
        config = replace(config, data=replace(config.data, source=replace(source, options=options)))
    if names or not is_config:
        config = replace(config, arms={ARM: list(names) or _all_modalities(config, registry, notes)}, resolutions={})
    modalities = build_modalities(config, registry)
    return Subject(
        config=config,
        has_config=has_config,
        source=open_source(config.data.source, modalities),
        modalities=modalities,
        notes=tuple(notes),
    )


def _is_config(text: str) -> bool:
    path = Path(text)
    return not path.is_dir() and (path.suffix in (".yaml", ".yml") or text in shipped_configs())


def _parse(text: str) -> tuple[SourceConfig, str]:
    """The source in a word, and what was assumed about it."""
    if Path(text).is_dir():
        return SourceConfig(kind=FOLDER_KIND, path=text), f"{text} is a folder: read as {FOLDER_KIND}:{text}."
    if ":" not in text and Path(text).exists():
        raise ConfigError(f"{text} is a file: expected a folder, KIND:PATH, or a config that ends in .yaml.")
    return parse_source(text), ""


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
