"""Settings that were set but cannot take effect: which ones, and what overrides them."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from modalities.errors import ConfigError

log = logging.getLogger(__name__)


@runtime_checkable
class HasUnusedSettings(Protocol):
    """A section some of whose settings take effect under conditions only."""

    def unused_settings(self) -> Mapping[str, str]:
        """Names of settings that have no effect in this config, and the reason: what overrides each."""
        ...


def unused_settings(config: Any, prefix: str = "") -> dict[str, str]:
    """Paths of all settings of a config that have no effect, and the reasons. A path covers what lies below it."""
    found: dict[str, str] = {}
    if isinstance(config, HasUnusedSettings):
        found |= {prefix + name: reason for name, reason in config.unused_settings().items()}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            found |= unused_settings(value, f"{prefix}{item.name}.")
    return found


def refuse_unused(config: Any, overrides: Mapping[str, Any]) -> None:
    """Check that every override takes effect.

    Raises:
        ConfigError: One has no effect; the message names what overrides it.
    """
    for path, reason in _hits(config, overrides):
        raise ConfigError(f"{path} has no effect: {reason}.")


def warn_of_unused(config: Any, origin: str, values: Mapping[str, Any]) -> None:
    """Log a warning for each setting of a file that takes no effect."""
    for path, reason in _hits(config, values):
        log.warning("%s: %s has no effect: %s.", origin, path, reason)


def _hits(config: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    unused = unused_settings(config)
    for path in _leaf_paths(values):
        for name, reason in unused.items():
            if path == name or path.startswith(f"{name}."):
                yield path, reason


def _leaf_paths(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaf_paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
