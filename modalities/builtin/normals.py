"""Surface normals: which way each pixel's surface faces, in the camera's frame."""

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
from modalities.kinds.arrays import as_array, channels_last, is_image, require_channels, require_floats
from modalities.kinds.dense import ImageModality, elementwise_mean
from modalities.layouts import Dense
from modalities.metrics.maps import surface_normal_metrics
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

Directions = Float32[np.ndarray, "h w 3"]

UNIT_TOLERANCE = 0.05
"""Largest accepted difference between 1 and the length of a given vector."""
MAX_SHORT_SHARE = 0.1
"""Largest accepted share of vectors that are shorter."""


@dataclass(frozen=True, kw_only=True)
class Normals(ImageModality):
    """Unit vectors (side, side, 3), float32: x right, y up, z towards the viewer. A vector of length zero is missing.

    Missing normals stay zero in crops and in the tokenizer's rows and are left out by metrics. Files are .npy, or
    .png with the components -1..1 as bytes and (128, 128, 128) for what is missing.
    """

    @property
    def value_spec(self) -> ValueSpec:
        """Unit vectors."""
        return ValueSpec(
            type="float32",
            shape="(h, w, 3)",
            unit="unit vectors as floats, x right, y up, z towards the viewer",
            low=-1 - UNIT_TOLERANCE,
            high=1 + UNIT_TOLERANCE,
            missing="0 or NaN",
            files=".npy of floats, or images without loss with the components -1..1 as levels 0..255",
        )

    def read_file(self, path: Path) -> Directions:
        """The vectors in a .npy file or a .png, made of unit length."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            return self.check(load_array(path), str(path))
        return self.check(_levels_to_vectors(read_lossless_image(path), str(path)), str(path))

    def check(self, value: Any, origin: str) -> Directions:
        """Unit vectors (h, w, 3) as floats, zero or not finite where missing; made of unit length.

        Up to `MAX_SHORT_SHARE` of them may be shorter, as vectors are that were interpolated across an edge.
        """
        expected = str(self.value_spec)
        array = require_channels(origin, as_array(origin, value, expected), 3, expected)
        floats = require_floats(origin, array, expected)
        vectors = np.where(_is_valid_normal(floats)[..., None], floats, np.float32(0))
        lengths = np.linalg.norm(vectors, axis=-1)
        found = lengths[lengths > 0]
        num_short = int((found < 1 - UNIT_TOLERANCE).sum())
        if found.size and (found.max() > 1 + UNIT_TOLERANCE or num_short > MAX_SHORT_SHARE * found.size):
            raise DataError(
                f"{origin} has vectors of lengths {found.min():.3g} to {found.max():.3g}, expected {expected}."
            )
        return normalize_vectors(vectors)

    def coerce(self, value: Any) -> Directions:
        """Vectors as `check` takes them, whose channels may come first; or an image as written to .png."""
        if is_image(value):
            return self.check(_levels_to_vectors(image_levels(value, self.name), self.name), self.name)
        return self.check(channels_last(self.name, value, 3, str(self.value_spec)), self.name)

    def write_file(self, path: Path, value: Directions) -> None:
        """Write a .npy file, or bytes as a .png."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            write_array(path, value)
        else:
            write_image(path, self.render(value))

    def transform(self, value: Float32[np.ndarray, "a b 3"], crop: Crop) -> Directions:
        """The part inside the crop, bilinear and made of unit length; a mirror turns left into right."""
        resized = crop_and_resize(value, crop, self.dense_layout.values_per_side, nearest=False).astype(np.float32)
        if crop.flip:
            resized[..., 0] *= -1
        return (
            resized if crop.width == crop.height == 1 and resized.shape == value.shape else normalize_vectors(resized)
        )

    def render(self, value: Directions) -> UInt8[np.ndarray, "h w 3"]:
        """The components as red, green and blue; missing is gray."""
        levels = np.rint((np.clip(value, -1, 1) + 1) * 127.5).astype(np.uint8)
        return np.where(_is_valid_normal(value)[..., None], levels, np.uint8(128))

    def metrics(self) -> MetricCollection:
        """Mean angle, shares of pixels under 11.25, 22.5 and 30 degrees."""
        return surface_normal_metrics()

    def constant_baseline(self, values: Sequence[Directions]) -> Directions:
        """The mean direction of each pixel; towards the viewer where there is none."""
        guess = normalize_vectors(elementwise_mean(values).astype(np.float32))
        completed: Directions = np.where(
            _is_valid_normal(guess)[..., None], guess, np.array([0, 0, 1], dtype=np.float32)
        )
        return completed

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "unit vectors as they are, each component -1..1"

    def preprocess(self, value: Directions) -> Float32[np.ndarray, "1 3 h w"]:
        """Channels first."""
        return np.ascontiguousarray(np.moveaxis(value, -1, 0)[None], dtype=np.float32)

    def postprocess(self, row: Float32[np.ndarray, "3 h w"]) -> Directions:
        """Vectors of unit length."""
        return normalize_vectors(np.moveaxis(row, 0, -1).astype(np.float32))


def normalize_vectors(vectors: Directions) -> Directions:
    """Vectors made of unit length; zero where they are too short to have a direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    is_long = np.isfinite(length) & (length > 1e-3)
    found: Directions = np.divide(vectors, length, out=np.zeros(vectors.shape, np.float32), where=is_long)
    return found


def _levels_to_vectors(levels: NDArray[Any], origin: str) -> Directions:
    """The vectors in the bytes of an image."""
    check_shape(origin, levels.shape, (None, None, 3))
    vectors = levels.astype(np.float32) / np.float32(127.5) - 1
    return normalize_vectors(np.where((levels == 128).all(-1, keepdims=True), np.float32(0), vectors))


def _is_valid_normal(value: Directions) -> Bool[np.ndarray, "h w"]:
    valid: Bool[np.ndarray, "h w"] = np.isfinite(value).all(-1) & (value != 0).any(-1)
    return valid


MODALITY = Normals(
    name="normals",
    title="Surface normals",
    layout=Dense(channels=3, size=224, patch=16),
    tokenizer=ViTVQ(name="normals", vocab_size=8192, loss=ReconstructionLoss.mse, has_diffusion_decoder=True),
    labeller="Omnidata DPT-Hybrid v2",
    decoding=map_decoding(order=11),
)
