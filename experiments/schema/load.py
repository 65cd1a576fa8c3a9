"""Settings from YAML files and overrides."""

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from experiments.schema.describe import describe_settings
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.field_metadata import names_in, replaced_settings, settings_of_names
from experiments.schema.unused import refuse_unused, warn_of_unused
from modalities.errors import ConfigError, UnknownNameError
from modalities.presets import PRESETS
from modalities.registry import Registry
from modalities.sources.config import SCENES
from modalities.spec import Modality, tokenizer_tasks
from modalities.storage.serialization import from_plain
from modalities.variants import read_class_names, with_classes, with_labels_of_experts
from networks.streams import pixel_stream_name, pixel_stream_owner

CONFIG_FOLDER = Path(__file__).parents[1] / "configs"
"""Folder of the shipped configs."""


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Load an experiment from a YAML file and ``key=value`` overrides.

    Raises:
        ConfigError: A key is unknown, a value is of the wrong type or out of range, or an override has no effect.
    """
    merged = OmegaConf.structured(ExperimentConfig)
    sources: list[tuple[str, Any]] = [(str(path), _read_yaml(path))] if path else []
    sources.append(("the command line", _parse_overrides(overrides)))
    for origin, values in sources:
        for setting in replaced_settings(ExperimentConfig):
            if OmegaConf.select(values, setting) is not None:
                section, _, key = setting.rpartition(".")
                node = OmegaConf.select(merged, section) if section else merged
                with read_write(node):
                    node[key] = {}
        try:
            merged = OmegaConf.merge(merged, values)
        except ConfigKeyError as error:
            raise ConfigError(_unknown_key(error, origin)) from None
        except OmegaConfBaseException as error:
            first = str(error).strip().splitlines()[0]
            raise ConfigError(f"{origin}: {error.full_key or 'value'}: {first}.") from None
    try:
        config = from_plain(ExperimentConfig, OmegaConf.to_container(merged, resolve=True, enum_to_str=True))
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(str(error).strip().splitlines()[0]) from None
    *files, (_, overridden) = sources
    refuse_unused(config, _plain(overridden))
    for origin, values in files:
        warn_of_unused(config, origin, _plain(values))
    return config


def _plain(values: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(values))


def find_config(name: str) -> Path:
    """Find a config by its path, or by the name of a shipped one.

    Raises:
        ConfigError: There is none.
    """
    for path in (Path(name), CONFIG_FOLDER / f"{name}.yaml", CONFIG_FOLDER / name):
        if path.is_file():
            return path
    raise ConfigError(str(UnknownNameError("config", name, shipped_configs())))


def shipped_configs() -> list[str]:
    """Names of the configs that come with the package."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def build_modalities(config: ExperimentConfig, registry: Registry) -> dict[str, Modality]:
    """Every modality of every arm, at the experiment's scale.

    Raises:
        UnknownNameError: An arm names a modality that is neither installed nor built in.
        UserError: A file of `DataConfig.classes` cannot be read, or its modality has no classes.
    """
    classes = {name: read_class_names(file, config.data.source.path) for name, file in config.data.classes.items()}
    found: dict[str, Modality] = {}
    for name in config.all_modalities:
        resolution = config.resolutions.get(name)
        item = (
            resolution.build_modality(name, registry, config.scale)
            if resolution
            else registry[name].scaled(config.scale)
        )
        if config.data.source.kind != SCENES:
            item = with_labels_of_experts(item)
        own = classes.get(item.base or name)
        found[name] = with_classes(item, own) if own else item
    return found


def check_names(config: ExperimentConfig, registry: Registry) -> None:
    """Check that every name in the config is installed. Names missing from an arm are allowed.

    Fields that hold names of modalities say so in their metadata: ``{"names": "modality"}``.

    Raises:
        UnknownNameError: A setting names a modality or tokenizer that is neither installed nor built in.
    """
    _check_reserved(config, registry)
    _check_known("modality in data.classes", config.data.classes, registry)
    known = {*registry, *config.resolutions}
    streams = known | {pixel_stream_name(name) for name in known}
    for setting, kind, value in settings_of_names(config):
        _check_known(f"{kind} in {setting}", names_in(value), {"modality": known}[kind])
    _check_known("modality in training.pictures_of", config.training.pictures_of, known)
    for mixture in config.masking.mixtures:
        for part in (mixture.input_overrides, mixture.target_overrides, mixture.keep_overrides):
            _check_known("stream in masking.mixtures", part, streams)
    if config.tokenizer_training.steps:
        all_modalities = {name: item.scaled(config.scale) for name, item in registry.items()}
        all_modalities |= build_modalities(config, registry)
        _check_known(
            "tokenizer in tokenizer_training.steps", config.tokenizer_training.steps, tokenizer_tasks(all_modalities)
        )


def _check_reserved(config: ExperimentConfig, registry: Registry) -> None:
    """Refuse modalities whose names mean something else: a preset, or the pixels of another modality."""
    for arm, entries in config.arms.items():
        for name in entries:
            if name in PRESETS and (name in registry or name in config.resolutions):
                origin = registry.origin(name) if name in registry else f"resolutions.{name}"
                raise ConfigError(f"arms.{arm}: {name!r} is a preset and a modality of {origin}; rename the modality.")
    for name in config.all_modalities:
        if owner := pixel_stream_owner(name):
            raise ConfigError(
                f"{name!r} is no name for a modality: it is that of the pixel stream of {owner!r}; rename it."
            )


def _check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def _read_yaml(path: Path) -> Any:
    try:
        return OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"There is no config file {path}.") from None
    except Exception as error:
        raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error


def _parse_overrides(overrides: Sequence[str]) -> DictConfig:
    for item in overrides:
        if "=" not in item:
            raise ConfigError(f"Override {item!r} is not of the form key=value; quote a value that has spaces.")
        try:
            OmegaConf.from_dotlist([item])
        except Exception as error:
            raise ConfigError(f"Override {item!r} is not YAML behind its '='. {_yaml_hint(item)}") from error
    return OmegaConf.from_dotlist(list(overrides))


def _yaml_hint(override: str) -> str:
    """The override to write in place of one whose value is not YAML."""
    key, _, value = override.partition("=")
    spaced = f"{key}={re.sub(r':(?! )', ': ', value)}"
    try:
        OmegaConf.from_dotlist([spaced])
    except Exception:
        return "Brackets and quotes come in pairs, as in 'arms={mine: [rgb, depth]}'."
    return f"A colon is followed by a space: {shlex.quote(spaced)}."


def _unknown_key(error: ConfigKeyError, origin: str) -> str:
    key = str(error.full_key)
    known = [row[0] for row in describe_settings()] + [item.name for item in fields(ExperimentConfig)]
    suggestions = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f" Did you mean {suggestions[0]!r}?" if suggestions else ""
    return f"{origin}: no setting is called {key!r}.{hint} `fourm settings` lists them all."


def flatten_config(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config as flat ``section.key`` values, for a tracker."""
    flat: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            flat.update(flatten_config(value, f"{prefix}{item.name}."))
        else:
            flat[prefix + item.name] = getattr(value, "value", value)
    return flat
