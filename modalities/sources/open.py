"""Opens the data source that the settings choose."""

from collections.abc import Mapping

from modalities.sources.base import Source
from modalities.sources.config import SourceConfig
from modalities.sources.registry import SourceRegistry, default_sources
from modalities.spec import Modality


def open_source(
    config: SourceConfig, modalities: Mapping[str, Modality], registry: SourceRegistry | None = None
) -> Source:
    """The source that a run on ``modalities`` (at the run's scale) reads.

    Args:
        registry: Kinds of sources; None stands for those that are built in or installed.

    Raises:
        UnknownNameError: There is no such kind.
        UserError: The settings do not fit the kind, or its data cannot be found.
    """
    return (registry or default_sources())[config.kind](config, modalities)
