"""Exact labellers: maps and palettes that follow from other modalities by computation, without a network."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from modalities.errors import ConfigError, DataError
from modalities.labellers.base import Labeller
from modalities.labellers.canny import canny, instance_edges
from modalities.labellers.metadata import image_statistics
from modalities.labellers.normals import normals_from_depth
from modalities.labellers.palette import MAX_COLORS, dominant_colors
from modalities.spec import Value


@dataclass(frozen=True, kw_only=True)
class CannyLabeller(Labeller):
    """Edges of the picture by `canny`."""

    sigma: float = 1.0
    """Standard deviation of the Gaussian, in pixels."""
    low: float = 0.2
    """Least gradient magnitude of an edge."""
    high: float = 0.5
    """Least gradient magnitude somewhere along an edge."""

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and 0 <= self.low <= self.high):
            raise ConfigError(
                f"{self.name} needs sigma above 0 and 0 <= low <= high, got {self.sigma}, {self.low} and {self.high}."
            )

    def label(self, values: Mapping[str, Value]) -> UInt8[np.ndarray, "h w"]:
        """The edges."""
        (picture,) = (values[name] for name in self.inputs)
        return canny(picture, sigma=self.sigma, low=self.low, high=self.high)


@dataclass(frozen=True, kw_only=True)
class PaletteLabeller(Labeller):
    """The dominant colours of the picture by `dominant_colors`."""

    num_colors: int = MAX_COLORS
    """Colours of a palette, at most `MAX_COLORS`."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_colors <= MAX_COLORS:
            raise ConfigError(f"{self.name}.num_colors must be 1 to {MAX_COLORS}, got {self.num_colors}.")

    def label(self, values: Mapping[str, Value]) -> tuple[tuple[int, int, int], ...]:
        """The colours, the commonest first."""
        (picture,) = (values[name] for name in self.inputs)
        colors = dominant_colors(picture, self.num_colors)
        return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)


@dataclass(frozen=True, kw_only=True)
class ImageMetadataLabeller(Labeller):
    """Size and colour statistics of the picture by `image_statistics`."""

    def label(self, values: Mapping[str, Value]) -> dict[str, float]:
        """The facts by name; width and height are those of the picture in the file."""
        (picture,) = (values[name] for name in self.inputs)
        height, width = picture.shape[:2]
        return {"original_width": width, "original_height": height, **image_statistics(picture)}


@dataclass(frozen=True, kw_only=True)
class InstanceEdgesLabeller(Labeller):
    """Borders between instance masks."""

    def label(self, values: Mapping[str, Value]) -> UInt8[np.ndarray, "h w"]:
        """The edges of the map that shows the smallest of the masks that cover a pixel."""
        (masks,) = (values[name] for name in self.inputs)
        return instance_edges(instance_map(masks))


@dataclass(frozen=True, kw_only=True)
class NormalsFromDepthLabeller(Labeller):
    """Surface normals of a depth map of a pinhole camera."""

    fov: float = 0.0
    """Angle of view across the longer side of the picture, in degrees; it has to be given."""

    def label(self, values: Mapping[str, Value]) -> Float32[np.ndarray, "h w 3"]:
        """Unit vectors; zero where depth is missing at the pixel or beside it.

        Raises:
            ConfigError: The angle of view is not given.
        """
        if not 0 < self.fov < 180:
            raise ConfigError(
                f"Normals follow from depth only if the camera's angle of view is known: --set {self.output}.fov=60 "
                f"for 60 degrees across the longer side; got {self.fov:g}."
            )
        (depth,) = (values[name] for name in self.inputs)
        if min(depth.shape) < 2:
            raise DataError(f"depth has shape {depth.shape}, expected at least 2 x 2 for normals.")
        return normals_from_depth(depth, fov=self.fov)

    def prepare(self) -> None:
        """Refuse a missing angle before the first sample."""
        if not 0 < self.fov < 180:
            self.label({})


def instance_map(masks: Bool[np.ndarray, "k h w"]) -> Int[np.ndarray, "h w"]:
    """The number of the smallest mask that covers each pixel, from 1 on; 0 where none does."""
    instances = np.zeros(masks.shape[1:], np.int32)
    for index in np.argsort(-masks.sum((1, 2)), kind="stable"):
        instances[masks[index]] = index + 1
    return instances


CANNY_EDGES = CannyLabeller(
    name="canny_edges",
    output="canny_edges",
    inputs=("rgb",),
    description="Canny's detector on the picture (scikit-image's form)",
)
COLOR_PALETTE = PaletteLabeller(
    name="color_palette", output="color_palette", inputs=("rgb",), description="k-means over a colour histogram"
)
METADATA_IMAGE = ImageMetadataLabeller(
    name="metadata_image",
    output="metadata_image",
    inputs=("rgb",),
    description="computed from the pixels (4M-21, appendix D.1)",
    uses_full_size=True,
)
SAM_EDGES = InstanceEdgesLabeller(
    name="sam_edges", output="sam_edges", inputs=("sam_instances",), description="borders between the instances"
)
NORMALS_FROM_DEPTH = NormalsFromDepthLabeller(
    name="normals_from_depth",
    output="normals",
    inputs=("depth",),
    description="cross products of the depth map's tangents, pinhole camera",
)
