"""Settings from YAML files and overrides."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from experiments.schema.describe import describe_settings
from experiments.schema.experiment import ExperimentConfig
from modalities.errors import ConfigError, UnknownNameError
from modalities.registry import Registry
from modalities.spec import Modality, tokenizer_tasks
from modalities.storage.serialization import from_plain
from networks.streams import PIXELS_SUFFIX

CONFIG_FOLDER = Path(__file__).parents[1] / "configs"
"""Folder of the shipped configs."""


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The experiment of a YAML file, with ``key=value`` overrides.

    Raises:
        ConfigError: A key is unknown, or a value is of the wrong type or out of range.
    """
    merged = OmegaConf.structured(ExperimentConfig)
    sources: list[tuple[str, Any]] = [(str(path), _read_yaml(path))] if path else []
    sources.append(("the command line", _parse_overrides(overrides)))
    for origin, values in sources:
        for setting in _replaced_settings(ExperimentConfig):
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
        return from_plain(ExperimentConfig, OmegaConf.to_container(merged, resolve=True, enum_to_str=True))
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(str(error).strip().splitlines()[0]) from None


def find_config(name: str) -> Path:
    """The file that ``name`` means: a path, or the name of a shipped config.

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
    """
    return {
        name: config.resolutions[name].modality(name, registry, config.scale)
        if name in config.resolutions
        else registry[name].scaled(config.scale)
        for name in config.all_modalities
    }


def check_names(config: ExperimentConfig, registry: Registry) -> None:
    """Check that every name in the config is installed. Names missing from an arm are allowed.

    Fields that hold names of modalities say so in their metadata: ``{"names": "modality"}``.

    Raises:
        UnknownNameError: A setting names a modality or tokenizer that is neither installed nor built in.
    """
    known = {*registry, *config.resolutions}
    streams = known | {name + PIXELS_SUFFIX for name in known}
    for setting, kind, value in _settings_of_names(config):
        _check_known(f"{kind} in {setting}", _names_in(value), {"modality": known}[kind])
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


def _replaced_settings(cls: Any, prefix: str = "") -> Iterator[str]:
    """Paths of the mappings that a user's replace, by the fields' metadata: ``{"merge": "replace"}``."""
    for item in fields(cls):
        if item.metadata.get("merge") == "replace":
            yield prefix + item.name
        elif isinstance(item.default_factory, type) and is_dataclass(item.default_factory):
            yield from _replaced_settings(item.default_factory, f"{prefix}{item.name}.")


def _settings_of_names(config: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Path, kind of name and value of every field whose metadata say that it holds names."""
    for item in fields(config):
        value = getattr(config, item.name)
        if "names" in item.metadata:
            yield prefix + item.name, item.metadata["names"], value
        elif is_dataclass(value):
            yield from _settings_of_names(value, f"{prefix}{item.name}.")


def _names_in(value: Any) -> Iterator[str]:
    """Every text in a value: keys and values of mappings, items of lists."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield from (key, *_names_in(item))
        case list():
            for item in value:
                yield from _names_in(item)


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
            raise ConfigError(f"Override {item!r} is not of the form key=value.")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except Exception as error:
        raise ConfigError(f"The overrides cannot be read: {str(error).splitlines()[0]}.") from error


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
