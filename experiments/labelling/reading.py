"""Values of a source as labellers take them: whole pictures, before any crop, at a limited size."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modalities.labellers.base import Labeller
from modalities.presets import IMAGE
from modalities.sources.base import Source
from modalities.sources.stored import StoredSource
from modalities.spec import Modality, Value


def picture_size(labeller: Labeller, size: int) -> int:
    """The shorter side that a labeller's pictures are reduced to; 0 where it takes none, or takes them as they are."""
    takes_pictures = IMAGE in (*labeller.inputs, *labeller.optional_inputs)
    return size if takes_pictures and not labeller.uses_full_size else 0


class SampleReader:
    """The values of one sample, each read once, and labels that are made meanwhile."""

    def __init__(self, source: Source, key: str, size: int) -> None:
        """Read nothing yet.

        Args:
            size: Shorter side that larger pictures are reduced to, in pixels; 0 for their own.
        """
        self._source = source
        self._key = key
        self._size = size
        self._values: dict[str, Value | None] = {}
        self._deferred: dict[str, Callable[[], Value]] = {}
        self._reduced: Value | None = None

    def add(self, output: str, value: Value | None) -> None:
        """Keep a label for labellers that take it."""
        self._values[output] = value

    def defer(self, output: str, read: Callable[[], Value]) -> None:
        """Know of a label that lies on disk, which is read when a labeller takes it."""
        self._deferred[output] = read

    def read(self, modality: Modality, labeller: Labeller) -> Value | None:
        """The value that ``labeller`` takes, or None where the sample has none.

        Raises:
            DataError: A file is damaged.
        """
        if modality.name not in self._values:
            deferred = self._deferred.get(modality.name)
            found = read_whole(self._source, self._key, modality) if deferred is None else deferred()
            self._values[modality.name] = found
        value = self._values[modality.name]
        if modality.name != IMAGE or not picture_size(labeller, self._size) or value is None:
            return value
        if self._reduced is None:
            self._reduced = reduce_picture(value, self._size)
        return self._reduced


def read_whole(source: Source, key: str, modality: Modality) -> Value | None:
    """The value of a sample without a crop; the first of several captions.

    Scenes and sources of other kinds have none but the value at the run's scale.

    Raises:
        DataError: A file is damaged, or the source has no such modality.
    """
    if not isinstance(source, StoredSource):
        return source.read(key, modality)
    if source.explain_missing(modality) is not None:
        return None
    values = source.read_whole(key, modality)
    return values[0] if values else None


def value_version(source: Source, key: str, modality: Modality) -> str:
    """A text that changes with the value of a sample; empty where the source has no such modality.

    That of all samples where the source does not tell them apart.
    """
    if source.explain_missing(modality) is not None:
        return ""
    return source.version(key, modality) if isinstance(source, StoredSource) else source.fingerprint(modality)


def reduce_picture(picture: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture whose shorter side is at most ``size`` pixels, its sides in proportion; a smaller one as it is."""
    height, width = picture.shape[:2]
    if min(height, width) <= size:
        return picture
    scale = size / min(height, width)
    sides = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(sides, Image.Resampling.LANCZOS))
