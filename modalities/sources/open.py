"""Opens the data source that the settings choose."""

from collections.abc import Mapping

from modalities.errors import ConfigError
from modalities.sources.base import Source
from modalities.sources.config import SourceConfig
from modalities.sources.crops import CropConfig, with_crops
from modalities.sources.registry import SourceRegistry, default_sources
from modalities.spec import Modality


def open_source(
    config: SourceConfig,
    modalities: Mapping[str, Modality],
    registry: SourceRegistry | None = None,
    crops: CropConfig | None = None,
) -> Source:
    """The source that a run on ``modalities`` (at the run's scale) reads.

    Args:
        registry: Kinds of sources; None stands for those that are built in or installed.
        crops: Crops of each training sample; None is the centred one.

    Raises:
        UnknownNameError: There is no such kind.
        ConfigError: The source has no crops but the centred one.
        UserError: The settings do not fit the kind, or its data cannot be found.
    """
    source = (registry or default_sources())[config.kind](config, modalities)
    if crops is None or crops == CropConfig():
        return source
    cropped = with_crops(source, crops)
    if cropped is None:
        raise ConfigError(f"data.crops is set, but samples of {source.name} have one crop: leave it out.")
    return cropped
