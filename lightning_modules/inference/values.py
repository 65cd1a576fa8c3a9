"""Values as a person gives them: files distinguished from texts, read, checked, and cropped alike for one sample."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modalities.checks import check_value
from modalities.errors import DataError, UnknownNameError
from modalities.kinds.sequences import RecordModality
from modalities.sources.crops import WHOLE, have_same_ratio
from modalities.spec import Crop, Modality, SequenceModality, center_crop
from modalities.storage.files import IMAGE_SUFFIXES
from modalities.text_checks import check_text

log = logging.getLogger(__name__)

FILE_SUFFIXES = (*IMAGE_SUFFIXES, ".txt", ".json", ".jsonl", ".npy", ".npz", ".csv")
"""A string that ends so, given for a sequence, names a file where it is one word or begins as a path does."""


@dataclass(frozen=True, kw_only=True)
class GivenValue:
    """One input as it was given."""

    value: Any = None
    """The checked value in its own resolution; None for a text."""
    text: str | None = None
    """The text of a sequence in the model's own words, which may have gaps."""
    origin: str
    """The file's name, or the modality's."""
    mask: Any = None
    """The part of a grid to generate anew, as it was given."""


@dataclass(frozen=True, kw_only=True)
class GivenSample:
    """All inputs of one sample."""

    values: Mapping[str, GivenValue]
    """By modality."""
    crop: Crop
    """The largest centred square of its image, which all values are cut to."""


def read_sample(
    modalities: Mapping[str, Modality], given: Mapping[str, Any], masks: Mapping[str, Any] | None = None
) -> GivenSample:
    """Read and check the inputs of one sample, and find the crop that goes for all.

    Args:
        masks: By modality of an input, kept beside its value.

    Raises:
        UnknownNameError: There is no such modality.
        DataError: A value or a file is not the modality's, or images have different aspect ratios.
    """
    values: dict[str, GivenValue] = {}
    for name, value in given.items():
        if name not in modalities:
            raise UnknownNameError("modality of this model", name, modalities)
        values[name] = replace(_read_given(modalities[name], value), mask=(masks or {}).get(name))
    crop = _common_crop(modalities, values)
    for name, item in values.items():
        modality = modalities[name]
        if (
            item.text is not None
            and crop != WHOLE
            and isinstance(modality, RecordModality)
            and not modality.is_flip_invariant
        ):
            log.warning("%s is given as text: its positions are read as positions in the image's centred square.", name)
    return GivenSample(values=values, crop=crop)


def read_value(modality: Modality, value: Any) -> Any:
    """A modality's value out of a file or of what `Modality.coerce` takes, in its own resolution.

    Raises:
        DataError: The file cannot be read, or the value is not the modality's.
    """
    if value is None:
        raise DataError(f"{modality.name} is None: leave out an input that is missing.")
    if isinstance(value, Path) or (isinstance(value, str) and not isinstance(modality, SequenceModality)):
        return check_value(modality, modality.read_file(Path(value)), str(value))
    return check_value(modality, modality.coerce(value), modality.name)


def crop_value(modality: Modality, value: Any) -> Any:
    """The centred square of a value with a height and a width, at the modality's resolution."""
    size = modality.image_size(value)
    return modality.transform(value, WHOLE if size is None else center_crop(*size))


def file_or_text(modality: SequenceModality, value: Any) -> str | Path | None:
    """The text or the file that a string or path given for a sequence means; None for a record.

    Raises:
        DataError: It names a file that does not exist.
    """
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        return None
    is_word = not any(letter.isspace() for letter in value)
    is_path = value.startswith(("/", "./", "../", "~")) and "\n" not in value
    has_suffix = value.lower().endswith((modality.suffix, *FILE_SUFFIXES))
    if has_suffix and os.path.isfile(value):  # noqa: PTH113 - a text may be longer than a path can be
        return Path(value)
    if (has_suffix and (is_word or is_path)) or (is_path and is_word and "/" in value):
        if os.path.isfile(os.path.expanduser(value)):  # noqa: PTH111, PTH113
            return Path(value).expanduser()
        raise DataError(f"There is no file {value}, expected for {modality.name} a file or a text of words.")
    return value


def _read_given(modality: Modality, value: Any) -> GivenValue:
    origin = str(value) if isinstance(value, Path) else modality.name
    if not isinstance(modality, SequenceModality):
        origin = str(value) if isinstance(value, str | Path) else modality.name
        return GivenValue(value=read_value(modality, value), origin=origin)
    found = file_or_text(modality, value)
    if isinstance(found, str):
        return GivenValue(text=check_text(found, modality.name), origin=modality.name)
    if found is not None:
        return GivenValue(value=read_value(modality, found), origin=str(found))
    return GivenValue(value=read_value(modality, value), origin=origin)


def _common_crop(modalities: Mapping[str, Modality], values: Mapping[str, GivenValue]) -> Crop:
    """The centred square of the sample's image; the whole where no input has pixels."""
    sizes = {
        name: size
        for name, item in values.items()
        if item.value is not None and (size := modalities[name].image_size(item.value)) is not None
    }
    if not sizes:
        return WHOLE
    first, (height, width) = max(sizes.items(), key=lambda item: item[1][0] * item[1][1])
    for name, (other_height, other_width) in sizes.items():
        if not have_same_ratio((height, width), (other_height, other_width)):
            raise DataError(
                f"{values[name].origin} is {other_width} x {other_height}, but {values[first].origin} is "
                f"{width} x {height}: all inputs of a sample must show one image, at any resolution."
            )
    return center_crop(height, width)
