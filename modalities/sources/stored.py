"""The base of sources whose values are stored one by one: in files, in archives, or decoded by another library.

A subclass says which samples there are and where a value lies; the base reads, checks, crops and chooses.
"""

import abc
import copy
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from modalities.checks import check_value
from modalities.corrections import collect_corrections, report_correction
from modalities.errors import DataError, UnknownNameError
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Dense
from modalities.sources.base import module_digest
from modalities.sources.captions import read_captions, split_captions
from modalities.sources.config import SourceConfig
from modalities.sources.crops import (
    WHOLE,
    CropConfig,
    CropKeys,
    draw_choice,
    draw_crop,
    have_same_ratio,
    split_crop_key,
)
from modalities.spec import Crop, Modality, Value
from modalities.storage.pixels import WHITE, parse_color
from modalities.variants import declared_classes

S = TypeVar("S", bound="StoredSource")

TRAIN_SPLIT = "train"
"""The split whose samples are shown in several crops."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A local file, which the modality's `read_file` reads."""

    path: Path

    @property
    def origin(self) -> str:
        """The name that messages use."""
        return str(self.path)


@dataclass(frozen=True, kw_only=True)
class StoredBytes:
    """A file's content from elsewhere: a member of an archive, a remote file, a cell of a table."""

    data: bytes
    suffix: str
    """Type of the file, such as ``.png``."""
    origin: str
    """The name that messages use, such as ``tars/rgb/shard-0003.tar: 000123.png``."""


@dataclass(frozen=True, kw_only=True)
class StoredValue:
    """A value that is decoded already, in a form that the modality's `coerce` takes; of texts also a list of them."""

    value: Any
    origin: str


Stored: TypeAlias = StoredFile | StoredBytes | StoredValue


class StoredSource(abc.ABC):
    """Samples with values stored one by one; crops are drawn once per sample and applied to all of its values.

    The size that a crop is drawn for is that of the sample's first grid of pixels, in the order of the run's
    modalities. All grids of pixels of a sample must have its aspect ratio; what has no pixels is cropped by shares.

    ``options`` of the settings may hold ``license`` and ``description`` of the data, ``background``, the colour that
    transparent pixels are composited over (a name, ``"#rrggbb"`` or three levels; white by default), and the kind's
    `known_options`.
    """

    kind: ClassVar[str]
    """Name of the kind, for messages."""
    known_options: ClassVar[tuple[str, ...]] = ()
    """Names of the kind's own options."""

    def __init__(self, config: SourceConfig, modalities: Mapping[str, Modality]) -> None:
        """Take the settings, and the run's modalities at its scale.

        Raises:
            UnknownNameError: There is no such option.
        """
        known = ("license", "description", "background", *self.known_options)
        for option in config.options:
            if option not in known:
                raise UnknownNameError(f"option of the source {self.kind}", option, known)
        self.config, self.modalities = config, modalities
        self.crops = CropConfig()
        self._background = parse_color(config.options.get("background", WHITE))
        self._decoded_key, self._decoded = "", dict[str, list[Value]]()
        self._fingerprints = dict[str, str]()

    @property
    def name(self) -> str:
        """The kind and the path."""
        return f"{self.kind}:{self.config.path}" if self.config.path else self.kind

    @property
    def description(self) -> str:
        """``options.description``, or the place of the samples."""
        return str(self.config.options.get("description") or f"samples of {self.config.path or self.kind}")

    @property
    def license(self) -> str:
        """``options.license``; what is not stated is unknown."""
        return str(self.config.options.get("license") or "unknown")

    @property
    @abc.abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of classes that the run's maps and boxes declare."""
        return tuple(sorted({name for item in self.modalities.values() for name in declared_classes(item)}))

    @abc.abstractmethod
    def sample_keys(self, split: str) -> Sequence[str]:
        """The keys of a split's samples, without crops, in a fixed order.

        Raises:
            UnknownNameError: There is no such split.
        """

    @abc.abstractmethod
    def stored(self, key: str, modality: Modality) -> Stored | None:
        """Where the value of ``modality`` in the sample ``key`` lies; None where the sample lacks it."""

    @abc.abstractmethod
    def explain_missing(self, modality: Modality) -> str | None:
        """One sentence on why the source has no values of ``modality`` and what to do, or None where it has them."""

    @abc.abstractmethod
    def data_fingerprint(self, modality: Modality) -> str:
        """A text that changes whenever a stored value of ``modality``, or which samples there are, may."""

    def data_version(self, key: str, modality: Modality) -> str:
        """A text that changes whenever the stored value of one sample may; that of all where the kind has no other."""
        if modality.name not in self._fingerprints:
            self._fingerprints[modality.name] = self.data_fingerprint(modality)
        return self._fingerprints[modality.name]

    def num_values(self, split: str, modality: Modality) -> int | None:
        """The number of a split's samples that have ``modality``; None where only reading them would tell."""
        return None

    def with_crops(self: S, crops: CropConfig) -> S:
        """The same source with other crops. Values that are decoded already serve both."""
        changed = copy.copy(self)
        changed.crops = crops
        return changed

    def keys(self, split: str) -> Sequence[str]:
        """The keys of a split's samples; of the training split with all crops."""
        keys = self.sample_keys(split)
        return CropKeys(keys, self.crops.count) if split == TRAIN_SPLIT and self.crops.count > 1 else keys

    def read(self, key: str, modality: Modality) -> Value | None:
        """The value of ``modality`` in the crop ``key``, or None where the sample lacks it.

        Raises:
            DataError: The value is damaged, is not the modality's, or has another shape than the sample's image.
        """
        sample, number = split_crop_key(key) if self.crops.count > 1 else (key, 0)
        choices = self._choices(sample, modality)
        if not choices:
            return None
        value = choices[draw_choice(sample, number, len(choices), self.crops.seed)]
        return modality.transform(value, self._crop(sample, number, modality, value))

    def read_whole(self, key: str, modality: Modality) -> list[Value]:
        """The values of a sample before any crop: none, one, or of texts as many as there are; see `decode`."""
        stored = self.stored(key, modality)
        return [] if stored is None else self.decode(stored, modality)

    def decode(self, stored: Stored, modality: Modality) -> list[Value]:
        """Read and check what `stored` gave, with the settings of the source that concern reading.

        Raises:
            DataError: The value is damaged or is not the modality's.
        """
        return decode_stored(stored, self._reader(modality))

    def version(self, key: str, modality: Modality) -> str:
        """A text that changes whenever `read_whole` may give other values of one sample; nothing is decoded."""
        background = getattr(self._reader(modality), "background", None)
        content = (self.data_version(key, modality), background, module_digest(type(self).__module__))
        return hashlib.sha256(repr(content).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def fingerprint(self, modality: Modality) -> str:
        """A text that changes whenever a value of ``modality`` may."""
        content = [self.kind, self.data_fingerprint(modality), self.crops, module_digest(type(self).__module__)]
        content += [self._background] if hasattr(modality, "background") else []
        return f"{self.kind} {hashlib.sha256(repr(content).encode()).hexdigest()[:16]}"

    def _choices(self, sample: str, modality: Modality) -> list[Value]:
        """The decoded values of one sample: none, one, or several texts. Those of the last sample are kept."""
        if sample != self._decoded_key:
            self._decoded_key, self._decoded = sample, {}
        if modality.name not in self._decoded:
            self._decoded[modality.name] = self.read_whole(sample, modality)
        return self._decoded[modality.name]

    def _reader(self, modality: Modality) -> Modality:
        """The modality with the settings of the source that concern reading."""
        has_background = hasattr(modality, "background") and self._background != WHITE
        return replace(modality, background=self._background) if has_background else modality  # type: ignore[call-arg]

    def _crop(self, sample: str, number: int, modality: Modality, value: Value) -> Crop:
        """The crop of a sample, for a value that must fit the sample's image."""
        image = next(
            (item for item in self.modalities.values() if _is_image(item) and self._choices(sample, item)), None
        )
        if image is None:
            return WHOLE
        height, width = self._choices(sample, image)[0].shape[:2]
        if _is_image(modality) and not have_same_ratio((height, width), value.shape[:2]):
            raise DataError(
                f"Sample {sample!r} of {self.name}: {modality.name} has {value.shape[1]} x {value.shape[0]} pixels, "
                f"{image.name} {width} x {height}: expected one aspect ratio. A map made of a photograph that was "
                "not turned upright (EXIF) has to be turned."
            )
        return draw_crop(sample, number, height, width, self.crops)


def decode_stored(stored: Stored, modality: Modality) -> list[Value]:
    """Read and check what is stored: one value, or of texts as many as there are.

    Raises:
        DataError: It is damaged or is not the modality's; the message names its origin.
    """
    match stored:
        case StoredFile():
            return _read_file(stored.path, modality)
        case StoredBytes():
            return _read_bytes(stored, modality)
        case StoredValue():
            is_list = isinstance(stored.value, list | tuple) and isinstance(modality, FreeTextModality)
            values = split_captions(stored.value) if is_list else [stored.value]
            return [_coerce(value, modality, stored.origin) for value in values]
        case _:
            assert_never(stored)


def _read_bytes(stored: StoredBytes, modality: Modality) -> list[Value]:
    """Read from a temporary file, for which messages and corrections name the origin."""
    with tempfile.NamedTemporaryFile(suffix=stored.suffix) as file:
        file.write(stored.data)
        file.flush()
        try:
            with collect_corrections() as lines:
                values = _read_file(Path(file.name), modality)
        except DataError as error:
            raise DataError(str(error).replace(file.name, stored.origin)) from error
    for line in lines:
        report_correction(line.replace(file.name, stored.origin))
    return values


def _coerce(value: Any, modality: Modality, origin: str) -> Value:
    try:
        coerced = modality.coerce(value)
    except DataError as error:
        raise DataError(f"{origin}: {error}") from error
    return check_value(modality, coerced, origin)


def _read_file(path: Path, modality: Modality) -> list[Value]:
    values = read_captions(path) if isinstance(modality, FreeTextModality) else [modality.read_file(path)]
    return [check_value(modality, value, str(path)) for value in values]


def _is_image(modality: Modality) -> bool:
    """True for grids with a value for each pixel."""
    return isinstance(modality.layout, Dense) and modality.layout.pixels_per_value == 1
