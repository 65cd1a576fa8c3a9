"""Base classes of maps whose values are no measures: classes and edges.

A value is an array (h, w), uint8; between two of its numbers there is nothing, so that crops take the nearest pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from torchmetrics import MetricCollection

from modalities.kinds.arrays import (
    as_array,
    class_indices,
    edges_from_array,
    image_plane,
    is_image,
    white_pixels,
)
from modalities.kinds.dense import DenseModality, elementwise_mean, first_value
from modalities.metrics.maps import class_map_metrics, edge_metrics
from modalities.rendering.colors import render_class_map
from modalities.spec import Crop
from modalities.storage.files import crop_and_resize, is_array_file, load_array, read_grayscale, write_image
from modalities.storage.pixels import grayscale_levels
from modalities.tokenizer_specs import UNLABELLED
from modalities.values import ValueSpec


@dataclass(frozen=True, kw_only=True)
class ClassMap(DenseModality):
    """A class for each pixel, uint8. Files are gray images of class indices, which palettes may colour.

    A level from `layout.channels` on is no class, and neither is `ignore_index`: it is kept in files and crops, and
    left out of the tokenizer's loss, of chance levels and of metrics.
    """

    classes: tuple[str, ...]
    """Names of the classes, by index."""
    ignore_index: int | None = None
    """An index below the number of classes that stands for no label, such as 0 where classes count from 1."""
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

    @property
    def value_spec(self) -> ValueSpec:
        """Class indices, and what stands for no label."""
        last = len(self.classes) - 1
        ignored = "" if self.ignore_index is None else f"{self.ignore_index} and "
        return ValueSpec(
            type="uint8",
            shape="(h, w)",
            unit=f"class indices as integers 0 to 255, of which 0 to {last} are classes",
            low=0,
            high=255,
            missing=f"{ignored}{last + 1} and above",
            files="gray or palette images without loss, of 8 bits, or 16 bits with levels up to 255; .npy of integers",
        )

    def read_file(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """The class indices in a gray or palette image, or in a .npy file."""
        return self.check(load_array(path) if is_array_file(path) else read_grayscale(path), str(path))

    def check(self, value: Any, origin: str) -> UInt8[np.ndarray, "h w"]:
        """Class indices (h, w), integers from 0 to 255."""
        expected = str(self.value_spec)
        return class_indices(origin, image_plane(origin, as_array(origin, value, expected), expected), expected)

    def coerce(self, value: Any) -> UInt8[np.ndarray, "h w"]:
        """Class indices (h, w), integers from 0 to 255, or an image as `read_file` takes."""
        return self.check(grayscale_levels(value, self.name) if is_image(value) else value, self.name)

    def is_labelled(self, value: UInt8[np.ndarray, "*n"]) -> Bool[np.ndarray, "*n"]:
        """True where a pixel has a class."""
        labelled: Bool[np.ndarray, "*n"] = value < len(self.classes)
        return labelled if self.ignore_index is None else labelled & (value != self.ignore_index)

    def write_file(self, path: Path, value: UInt8[np.ndarray, "h w"]) -> None:
        """Write the class indices as a gray image."""
        write_image(path, value)

    def transform(self, value: UInt8[np.ndarray, "a b"], crop: Crop) -> UInt8[np.ndarray, "h w"]:
        """The part inside the crop, by the nearest pixel."""
        return crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=True).astype(np.uint8)

    def render(self, value: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """A fixed colour for each class, gray where there is none."""
        shown = value if self.ignore_index is None else np.where(self.is_labelled(value), value, np.uint8(255))
        return render_class_map(shown, len(self.classes))

    def metrics(self) -> MetricCollection:
        """Mean intersection over union, share of right pixels."""
        return class_map_metrics(len(self.classes), self.ignore_index)

    def constant_baseline(self, values: Sequence[UInt8[np.ndarray, "h w"]]) -> UInt8[np.ndarray, "h w"]:
        """The commonest class of each pixel; of equals the first."""
        counts = np.zeros((256, first_value(values).size), dtype=np.int32)
        places = np.arange(counts.shape[1])
        for value in values:
            counts[value.ravel(), places] += 1
        if self.ignore_index is not None:
            counts[self.ignore_index] = 0
        guess: UInt8[np.ndarray, "h w"] = counts[: len(self.classes)].argmax(axis=0).astype(np.uint8)
        return guess.reshape(first_value(values).shape)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return f"class indices as they are, levels that are no class as {UNLABELLED}"

    def preprocess(self, value: UInt8[np.ndarray, "h w"]) -> Int64[np.ndarray, "1 h w"]:
        """The class indices, `UNLABELLED` where there is none."""
        indices = np.where(self.is_labelled(value), value.astype(np.int64), UNLABELLED)
        return np.asarray(indices[None], dtype=np.int64)

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

    @property
    def value_spec(self) -> ValueSpec:
        """0 and 1."""
        return ValueSpec(
            type="uint8",
            shape="(h, w)",
            unit="1 for an edge and 0 elsewhere, or 255 and 0, or flags",
            low=0,
            high=1,
            files="gray images without loss, an edge from half of the levels on; .npy",
        )

    def read_file(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """The edges in a gray image, or in a .npy file."""
        if is_array_file(path):
            return self.check(load_array(path), str(path))
        return white_pixels(str(path), read_grayscale(path)).astype(np.uint8)

    def check(self, value: Any, origin: str) -> UInt8[np.ndarray, "h w"]:
        """Edges (h, w) as 0 and 1, flags or the levels 0 and 255."""
        expected = str(self.value_spec)
        return edges_from_array(origin, image_plane(origin, as_array(origin, value, expected), expected), expected)

    def coerce(self, value: Any) -> UInt8[np.ndarray, "h w"]:
        """Edges as `check` takes them, or an image as `read_file` takes."""
        if is_image(value):
            return white_pixels(self.name, grayscale_levels(value, self.name)).astype(np.uint8)
        return self.check(value, self.name)

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
