"""Base classes of modalities on a grid of pixels (pictures, class maps, edges): files, crops, tensors, baselines.

A value is an array (side, side) or, with several channels, (side, side, channels), where side is `Dense.side`.
"""

import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.errors import DataError
from modalities.kinds.arrays import (
    as_array,
    channels_last,
    class_indices,
    edges_from_array,
    image_plane,
    is_image,
    require_finite,
    require_floats,
)
from modalities.layouts import Dense
from modalities.metrics.maps import class_map_metrics, edge_metrics
from modalities.rendering.colors import render_class_map
from modalities.spec import Crop, Modality
from modalities.storage.files import (
    crop_and_resize,
    grayscale_levels,
    read_array,
    read_grayscale,
    write_array,
    write_image,
)


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

    def coerce(self, value: Any) -> NDArray[Any]:
        """Finite floats (h, w), or with several channels (h, w, c) or (c, h, w)."""
        channels = self.dense_layout.channels
        shapes = "(h, w)" if channels == 1 else f"(h, w, {channels}) or ({channels}, h, w)"
        expected = f"an array of floats {shapes}"
        array = require_floats(self.name, as_array(self.name, value, expected), expected)
        if channels == 1:
            return require_finite(self.name, image_plane(self.name, array, expected), expected)
        return require_finite(self.name, channels_last(self.name, array, channels, expected), expected)

    def transform(self, value: NDArray[Any], crop: Crop) -> NDArray[Any]:
        """The part inside the crop, bilinear."""
        return crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=False)

    def constant_baseline(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The mean of each pixel."""
        return elementwise_mean(values).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ClassMap(DenseModality):
    """A class for each pixel, uint8. Files are gray images of class indices, which palettes may colour.

    A level from `layout.channels` on is no class: it is kept in files and crops, left out by metrics, and enters the
    tokenizer as class 0.
    """

    classes: tuple[str, ...]
    """Names of the classes, by index."""
    suffix: str = ".png"

    def __post_init__(self) -> None:
        if len(self.classes) != self.dense_layout.channels or not 2 <= len(self.classes) <= 256:
            raise ValueError(
                f"{self.name} has {len(self.classes)} classes and a layout for {self.dense_layout.channels}; "
                "both must be equal, 2 to 256."
            )

    @property
    def is_discrete(self) -> bool:
        """True: there is no class between two classes."""
        return True

    def read_file(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """The class indices in a gray or palette image."""
        return read_grayscale(path)

    def coerce(self, value: Any) -> UInt8[np.ndarray, "h w"]:
        """Class indices (h, w), integers from 0 to 255, or an image as `read_file` takes."""
        expected = "class indices as integers 0 to 255 (h, w), or a gray or palette image of 8 bits"
        if is_image(value):
            return grayscale_levels(value, self.name)
        array = image_plane(self.name, as_array(self.name, value, expected), expected)
        return class_indices(self.name, array, expected)

    def write_file(self, path: Path, value: UInt8[np.ndarray, "h w"]) -> None:
        """Write the class indices as a gray image."""
        write_image(path, value)

    def transform(self, value: UInt8[np.ndarray, "a b"], crop: Crop) -> UInt8[np.ndarray, "h w"]:
        """The part inside the crop, by the nearest pixel."""
        return crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=True).astype(np.uint8)

    def render(self, value: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """A fixed colour for each class."""
        return render_class_map(value, len(self.classes))

    def metrics(self) -> MetricCollection:
        """Mean intersection over union, share of right pixels."""
        return class_map_metrics(len(self.classes))

    def constant_baseline(self, values: Sequence[UInt8[np.ndarray, "h w"]]) -> UInt8[np.ndarray, "h w"]:
        """The commonest class of each pixel; of equals the first."""
        counts = np.zeros((256, first_value(values).size), dtype=np.int32)
        places = np.arange(counts.shape[1])
        for value in values:
            counts[value.ravel(), places] += 1
        guess: UInt8[np.ndarray, "h w"] = counts[: len(self.classes)].argmax(axis=0).astype(np.uint8)
        return guess.reshape(first_value(values).shape)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "class indices as they are, levels that are no class as 0"

    def preprocess(self, value: UInt8[np.ndarray, "h w"]) -> Int64[np.ndarray, "1 h w"]:
        """The class indices."""
        classes: Int64[np.ndarray, "1 h w"] = np.where(value < len(self.classes), value, 0).astype(np.int64)[None]
        return classes

    def postprocess(self, row: Float32[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "h w"]:
        """The class of the greatest logit."""
        classes: UInt8[np.ndarray, "h w"] = row.argmax(axis=0).astype(np.uint8)
        return classes


@dataclass(frozen=True, kw_only=True)
class EdgeMap(DenseModality):
    """Edges: 1 where there is one, 0 elsewhere, uint8. Files are black and white images, an edge from half gray on."""

    suffix: str = ".png"
    threshold: float = 0.0
    """Reconstructed level, from -1 for none to 1 for an edge, above which a pixel is one."""

    @property
    def is_discrete(self) -> bool:
        """True: there is no half of an edge."""
        return True

    def read_file(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """The edges in a gray image."""
        return (read_grayscale(path) >= 128).astype(np.uint8)

    def coerce(self, value: Any) -> UInt8[np.ndarray, "h w"]:
        """Edges (h, w) as 0 and 1, flags or the levels 0 and 255, or an image as `read_file` takes."""
        expected = "edges (h, w) as 0 and 1 or as 0 and 255, or a gray image of 8 bits"
        if is_image(value):
            return (grayscale_levels(value, self.name) >= 128).astype(np.uint8)
        return edges_from_array(
            self.name, image_plane(self.name, as_array(self.name, value, expected), expected), expected
        )

    def write_file(self, path: Path, value: UInt8[np.ndarray, "h w"]) -> None:
        """Write edges white on black."""
        write_image(path, value * np.uint8(255))

    def transform(self, value: UInt8[np.ndarray, "a b"], crop: Crop) -> UInt8[np.ndarray, "h w"]:
        """The part inside the crop, by the nearest pixel."""
        return crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=True).astype(np.uint8)

    def render(self, value: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """White edges on black."""
        return np.repeat(value[..., None] * np.uint8(255), 3, axis=-1)

    def metrics(self) -> MetricCollection:
        """F1 of pixels, and F1 where one pixel off is near enough."""
        return edge_metrics()

    def constant_baseline(self, values: Sequence[UInt8[np.ndarray, "h w"]]) -> UInt8[np.ndarray, "h w"]:
        """The pixels that are edges more often than a limit, which is chosen for the best F1 over all ``values``.

        No constant map has a better F1 on them.
        """
        share = elementwise_mean(values)
        often = np.sort(share.ravel())[::-1]
        # The k commonest pixels find the sum of their shares, claim k and miss what is left of the total.
        scores = 2 * often.cumsum() / (np.arange(1, often.size + 1) + max(float(often.sum()), 1e-12))
        limit = often[int(scores.argmax())]
        edges: UInt8[np.ndarray, "h w"] = ((share >= limit) & (share > 0)).astype(np.uint8)
        return edges

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "edges as 1, all else as -1"

    def preprocess(self, value: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "1 1 h w"]:
        """-1 for none, 1 for an edge."""
        levels: Float32[np.ndarray, "1 1 h w"] = (value.astype(np.float32) * 2 - 1)[None, None]
        return levels

    def postprocess(self, row: Float32[np.ndarray, "1 h w"]) -> UInt8[np.ndarray, "h w"]:
        """An edge where the level is above the threshold."""
        edges: UInt8[np.ndarray, "h w"] = (row[0] > self.threshold).astype(np.uint8)
        return edges


@dataclass(frozen=True, kw_only=True)
class ArrayModality(DenseModality):
    """A modality whose files are .npy arrays of 32-bit floats."""

    @property
    @abc.abstractmethod
    def file_shape(self) -> tuple[int | None, ...]:
        """Shape of the arrays in files; None where any length will do."""

    def read_file(self, path: Path) -> NDArray[np.float32]:
        """The array in a .npy file."""
        return read_array(path, self.file_shape)

    def coerce(self, value: Any) -> NDArray[np.float32]:
        """Finite floats of `file_shape`."""
        shape = ", ".join("any" if length is None else str(length) for length in self.file_shape)
        expected = f"an array of floats ({shape})"
        array = require_floats(self.name, as_array(self.name, value, expected), expected)
        fits = len(array.shape) == len(self.file_shape) and all(
            length in (None, found) for found, length in zip(array.shape, self.file_shape, strict=True)
        )
        if not fits or not array.size:
            raise DataError(f"{self.name} has shape {array.shape}, expected {expected}.")
        return require_finite(self.name, array, expected)

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
