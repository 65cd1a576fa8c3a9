"""The data source of a run: the one place that a further source is added to."""

from collections.abc import Mapping

from modalities.sources.base import Source
from modalities.sources.scenes import ScenesSource
from modalities.spec import Modality


def open_source(modalities: Mapping[str, Modality]) -> Source:
    """The source that a run on ``modalities`` reads: procedural scenes at the size of their first grid."""
    return ScenesSource.for_modalities(modalities)
