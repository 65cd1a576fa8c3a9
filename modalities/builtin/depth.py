"""Depth: how far each pixel's surface is, along the optical axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from torchmetrics import MetricCollection

from modalities.decoding import map_decoding
from modalities.errors import DataError
from modalities.kinds.arrays import as_array, image_plane, is_image, require_floats
from modalities.kinds.dense import ImageModality, elementwise_mean
from modalities.layouts import Dense
from modalities.metrics.maps import depth_metrics
from modalities.rendering.colors import sequential_colors
from modalities.spec import Crop
from modalities.storage.files import (
    check_shape,
    check_suffix,
    crop_and_resize,
    load_array,
    read_lossless_image,
    write_array,
    write_image,
)
from modalities.storage.pixels import image_levels
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ
from modalities.values import ValueSpec

Meters = Float32[np.ndarray, "h w"]

MILLIMETERS_PER_METER = 1000


@dataclass(frozen=True, kw_only=True)
class Depth(ImageModality):
    """Metres (side, side), float32. What is not above 0, or not finite, is missing.

    Missing depth is 0 in crops and is left out of the tokenizer's loss, of metrics and of means. Files are .npy of
    metres, or 16-bit .png of millimetres.
    """

    near: float = 0.1
    """Metres that the tokenizer's range begins at; nearer is cut to it."""
    far: float = 12.0
    """Metres that it ends at."""

    @property
    def value_spec(self) -> ValueSpec:
        """Metres."""
        return ValueSpec(
            type="float32",
            shape="(h, w)",
            unit="metres as floats",
            missing="0, negative numbers, NaN or infinity",
            files=".npy of metres as floats, or .png of 16 bits in millimetres",
        )

    def read_file(self, path: Path) -> Meters:
        """The metres in a .npy file, or the millimetres in a 16-bit .png."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            return self.check(load_array(path), str(path))
        return _millimeters_to_meters(read_lossless_image(path), str(path))

    def check(self, value: Any, origin: str) -> Meters:
        """Floats (h, w) in metres. What is not finite or not above 0 is missing."""
        expected = str(self.value_spec)
        array = image_plane(origin, as_array(origin, value, expected), expected)
        if array.dtype.kind in "iu":
            raise DataError(
                f"{origin} holds {array.dtype}, expected {expected}: divide millimetres by 1000, or give them as .png "
                "of 16 bits."
            )
        return require_floats(origin, array, expected)

    def coerce(self, value: Any) -> Meters:
        """Metres as `check` takes them, or a 16-bit image of millimetres."""
        if is_image(value):
            return _millimeters_to_meters(image_levels(value, self.name), self.name)
        return self.check(value, self.name)

    def write_file(self, path: Path, value: Meters) -> None:
        """Write metres as .npy, or millimetres as a 16-bit .png."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            write_array(path, value)
        else:
            scaled = np.where(_is_valid_depth(value), value, 0) * MILLIMETERS_PER_METER
            write_image(path, np.rint(np.clip(scaled, 0, 65535)).astype(np.uint16))

    def transform(self, value: Float32[np.ndarray, "a b"], crop: Crop) -> Meters:
        """The part inside the crop, bilinear over what is there; missing where half of it or more is missing."""
        valid = _is_valid_depth(value)
        side = self.dense_layout.values_per_side
        if valid.all():
            return crop_and_resize(value, crop, side, nearest=False).astype(np.float32)
        resized = crop_and_resize(np.where(valid, value, 0).astype(np.float32), crop, side, nearest=False)
        weight = crop_and_resize(valid.astype(np.float32), crop, side, nearest=False).astype(np.float32)
        found: Meters = np.divide(resized, weight, out=np.zeros(resized.shape, np.float32), where=weight > 0.5)
        return found

    def render(self, value: Meters) -> UInt8[np.ndarray, "h w 3"]:
        """From light for near to dark for far, on one scale for all pictures; missing is gray.

        The scale is the logarithm of a metre more than the depth, as linear steps leave a room with few of the colours.
        """
        valid = _is_valid_depth(value)
        begin, end = np.log1p(self.near), np.log1p(self.far)
        share = (np.log1p(np.where(valid, value, 0)) - begin) / (end - begin)
        return sequential_colors(np.where(valid, share, np.nan))

    def metrics(self) -> MetricCollection:
        """RMSE in metres, AbsRel, delta1."""
        return depth_metrics()

    def constant_baseline(self, values: Sequence[Meters]) -> Meters:
        """The mean of each pixel over the values that have it; the mean of all where none has."""
        count = elementwise_mean([_is_valid_depth(value) for value in values])
        total = elementwise_mean(np.where(_is_valid_depth(value), value, 0) for value in values)
        overall = total.sum() / count.sum() if count.sum() else self.far
        guess: Meters = np.divide(total, count, out=np.full(count.shape, overall), where=count > 0).astype(np.float32)
        return guess

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return f"metres cut to {self.near:g}..{self.far:g}, linearly to -1..1, missing ones as NaN"

    def preprocess(self, value: Meters) -> Float32[np.ndarray, "1 1 h w"]:
        """Metres from near to far as -1 to 1, so that errors are in proportion to metres; NaN where missing."""
        meters = np.clip(np.where(_is_valid_depth(value), value, np.float32(np.nan)), self.near, self.far)
        levels: Float32[np.ndarray, "1 1 h w"] = ((meters - self.near) / (self.far - self.near) * 2 - 1)[None, None]
        return levels.astype(np.float32)

    def postprocess(self, row: Float32[np.ndarray, "1 h w"]) -> Meters:
        """Metres, cut to the range."""
        meters = (row[0] + 1) / 2 * (self.far - self.near) + self.near
        cut: Meters = np.clip(meters, self.near, self.far).astype(np.float32)
        return cut


def _millimeters_to_meters(levels: NDArray[Any], origin: str) -> Meters:
    check_shape(origin, levels.shape, (None, None))
    if levels.dtype != np.uint16:
        raise DataError(f"{origin} has levels of 8 bits, expected 16 bits of millimetres.")
    meters: Meters = levels.astype(np.float32) / MILLIMETERS_PER_METER
    return meters


def _is_valid_depth(value: Meters) -> Bool[np.ndarray, "h w"]:
    valid: Bool[np.ndarray, "h w"] = np.isfinite(value) & (value > 0)
    return valid


MODALITY = Depth(
    name="depth",
    title="Depth",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="depth", vocab_size=8192, loss=ReconstructionLoss.smooth_l1, has_diffusion_decoder=True),
    labeller="Omnidata DPT-Hybrid v2",
    decoding=map_decoding(order=10),
)
