"""The settings that choose a data source."""

from dataclasses import dataclass, field
from typing import Any

from modalities.errors import ConfigError

SCENES = "scenes"
"""Kind of the source that needs no data: the procedural scenes."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the samples of a run come from."""

    kind: str = SCENES
    """Kind of source: scenes, or another that is built in or installed (`modalities.sources.registry`)."""
    path: str = ""
    """Folder, file or URL of the data; empty for kinds that read none."""
    options: dict[str, Any] = field(default_factory=dict, metadata={"merge": "replace"})
    """Settings of the kind's own; its docstring lists them."""


def parse_source(text: str) -> SourceConfig:
    """A source in one word, as commands take it: ``kind:path``, or a kind alone.

    Raises:
        ConfigError: There is nothing before the colon.
    """
    kind, _, path = text.partition(":")
    if not kind:
        raise ConfigError(f"{text!r} is no source: expected KIND:PATH, such as folder:photos, or scenes.")
    return SourceConfig(kind=kind, path=path)
