"""Base classes of modalities on a grid of pixels: checks, files, crops, tensors, baselines.

A value is an array (side, side) or, with several channels, (side, side, channels), where side is `Dense.side`.
"""

import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from modalities.errors import DataError
from modalities.kinds.arrays import (
    as_array,
    channels_last,
    image_plane,
    require_channels,
    require_finite,
    require_floats,
    require_range,
)
from modalities.layouts import Dense
from modalities.spec import Crop, Modality
from modalities.storage.files import crop_and_resize, load_array, write_array
from modalities.values import ValueSpec


@dataclass(frozen=True, kw_only=True)
class DenseModality(Modality):
    """A modality whose value is one array of fixed shape."""

    @property
    def dense_layout(self) -> Dense:
        """The layout, which is a grid."""
        assert isinstance(self.layout, Dense)
        return self.layout

    def collate(self, values: Sequence[NDArray[Any]]) -> Shaped[Tensor, "b ..."]:
        """The values stacked."""
        return stack_arrays(values)


@dataclass(frozen=True, kw_only=True)
class ImageModality(DenseModality):
    """Measured levels on pixels. Between pixels they are interpolated, so files may have any resolution."""

    @property
    def value_spec(self) -> ValueSpec:
        """Finite floats; subclasses state unit and range."""
        channels = self.dense_layout.channels
        shape = "(h, w)" if channels == 1 else f"(h, w, {channels})"
        return ValueSpec(type="float32", shape=shape, files=self.suffix)

    def check(self, value: Any, origin: str) -> NDArray[Any]:
        """Finite floats (h, w) or (h, w, channels) inside the range of `value_spec`."""
        expected, channels = str(self.value_spec), self.dense_layout.channels
        array = require_floats(origin, as_array(origin, value, expected), expected)
        if channels == 1:
            array = image_plane(origin, array, expected)
        else:
            require_channels(origin, array, channels, expected)
        require_finite(origin, array, expected)
        require_range(origin, array, self.value_spec)
        return array

    def coerce(self, value: Any) -> NDArray[Any]:
        """Floats as `check` takes them; channels may come first."""
        channels = self.dense_layout.channels
        return self.check(
            value if channels == 1 else channels_last(self.name, value, channels, str(self.value_spec)), self.name
        )

    def transform(self, value: NDArray[Any], crop: Crop) -> NDArray[Any]:
        """The part inside the crop, bilinear."""
        return crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=False)

    def constant_baseline(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The mean of each pixel."""
        return elementwise_mean(values).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ArrayModality(DenseModality):
    """A modality whose files are .npy arrays of floats."""

    @property
    @abc.abstractmethod
    def file_shape(self) -> tuple[int | None, ...]:
        """Shape of the arrays in files; None where any length will do."""

    @property
    def value_spec(self) -> ValueSpec:
        """Finite floats of `file_shape`; subclasses state unit and range."""
        lengths = ["any" if length is None else str(length) for length in self.file_shape]
        shape = f"({lengths[0]},)" if len(lengths) == 1 else f"({', '.join(lengths)})"
        return ValueSpec(type="float32", shape=shape, files=".npy of floats")

    def read_file(self, path: Path) -> NDArray[np.float32]:
        """The array in a .npy file."""
        return self.check(load_array(path), str(path))

    def check(self, value: Any, origin: str) -> NDArray[np.float32]:
        """Finite floats of `file_shape`, inside the range of `value_spec`."""
        expected = str(self.value_spec)
        array = require_floats(origin, as_array(origin, value, expected), expected)
        fits = len(array.shape) == len(self.file_shape) and all(
            length in (None, found) for found, length in zip(array.shape, self.file_shape, strict=True)
        )
        if not fits or not array.size:
            raise DataError(f"{origin} has shape {array.shape}, expected {expected}.")
        require_finite(origin, array, expected)
        require_range(origin, array, self.value_spec)
        return array

    def coerce(self, value: Any) -> NDArray[np.float32]:
        """Floats as `check` takes them."""
        return self.check(value, self.name)

    def write_file(self, path: Path, value: NDArray[np.float32]) -> None:
        """Write a .npy file."""
        write_array(path, np.asarray(value, dtype=np.float32))


def stack_arrays(values: Sequence[NDArray[Any]]) -> Shaped[Tensor, "b ..."]:
    """Arrays of one shape as one tensor."""
    return torch.from_numpy(np.stack(list(values)))


def elementwise_mean(values: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    """The mean of each place over arrays of one shape, one at a time.

    Raises:
        ValueError: There are none.
    """
    total: NDArray[np.float64] | None = None
    count = 0
    for value in values:
        total = value.astype(np.float64) if total is None else total + value
        count += 1
    if total is None:
        raise ValueError("The mean of no values is not known.")
    return total / count


def first_value(values: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The first value.

    Raises:
        ValueError: There is none.
    """
    if not len(values):
        raise ValueError("There is no typical one of no values.")
    return values[0]
