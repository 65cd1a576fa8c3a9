"""Depth: how far each pixel's surface is, along the optical axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from modalities.dense import ImageModality, mean
from modalities.drawing import ramp_colors
from modalities.errors import DataError
from modalities.files import check_shape, check_suffix, read_array, read_levels, resample, write_array, write_image
from modalities.metrics import depth_measures
from modalities.scene.world import FAR
from modalities.spec import Dense, Loss, Measure, View, ViTVQ

if TYPE_CHECKING:
    from modalities.scene import Scene

Meters = Float32[np.ndarray, "h w"]

MILLIMETERS = 1000


@dataclass(frozen=True, kw_only=True)
class Depth(ImageModality):
    """Metres (side, side), float32. What is not above 0, or not finite, is missing.

    Missing depth stays 0 in views, is left out by metrics and means, and enters the tokenizer as `far`. Files are .npy
    of metres, or 16-bit .png of millimetres.
    """

    near: float = 0.1
    """Metres that the tokenizer's range begins at; nearer is cut to it."""
    far: float = FAR
    """Metres that it ends at."""

    def look(self, scene: "Scene") -> Meters:
        """The scene's depth."""
        return scene.depth

    def read(self, path: Path) -> Meters:
        """The metres in a .npy file, or the millimetres in a 16-bit .png."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            return read_array(path, (None, None))
        levels = read_levels(path)
        check_shape(path, levels.shape, (None, None))
        if levels.dtype != np.uint16:
            raise DataError(f"{path} has levels of 8 bits, expected 16 bits of millimetres.")
        return levels.astype(np.float32) / MILLIMETERS

    def write(self, path: Path, value: Meters) -> None:
        """Write metres as .npy, or millimetres as a 16-bit .png."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            write_array(path, value)
        else:
            scaled = np.where(_is_there(value), value, 0) * MILLIMETERS
            write_image(path, np.rint(np.clip(scaled, 0, 65535)).astype(np.uint16))

    def augment(self, value: Float32[np.ndarray, "a b"], view: View) -> Meters:
        """The part that the view shows, bilinear over what is there; missing where half of it or more is missing."""
        there = _is_there(value)
        side = self.grid.side
        if there.all():
            return resample(value, view, side, nearest=False).astype(np.float32)
        shown = resample(np.where(there, value, 0).astype(np.float32), view, side, nearest=False)
        weight = resample(there.astype(np.float32), view, side, nearest=False).astype(np.float32)
        found: Meters = np.divide(shown, weight, out=np.zeros(shown.shape, np.float32), where=weight > 0.5)
        return found

    def draw(self, value: Meters) -> UInt8[np.ndarray, "h w 3"]:
        """From light for near to dark for far, on one scale for all pictures; missing is gray.

        The scale is the logarithm of a metre more than the depth, as linear steps leave a room with few of the colours.
        """
        there = _is_there(value)
        begin, end = np.log1p(self.near), np.log1p(self.far)
        share = (np.log1p(np.where(there, value, 0)) - begin) / (end - begin)
        return ramp_colors(np.where(there, share, np.nan))

    def metrics(self) -> dict[str, Measure]:
        """RMSE in metres, AbsRel, delta1."""
        return depth_measures()

    def typical(self, values: Sequence[Meters]) -> Meters:
        """The mean of each pixel over the values that have it; the mean of all where none has."""
        count = mean([_is_there(value) for value in values])
        total = mean(np.where(_is_there(value), value, 0) for value in values)
        overall = total.sum() / count.sum() if count.sum() else self.far
        guess: Meters = np.divide(total, count, out=np.full(count.shape, overall), where=count > 0).astype(np.float32)
        return guess

    @property
    def normalisation(self) -> str:
        """What `prepare` does."""
        return f"metres cut to {self.near:g}..{self.far:g}, missing ones as {self.far:g}, linearly to -1..1"

    def prepare(self, value: Meters) -> Float32[np.ndarray, "1 1 h w"]:
        """Metres from near to far as -1 to 1, so that errors are in proportion to metres."""
        meters = np.clip(np.where(_is_there(value), value, self.far), self.near, self.far)
        levels: Float32[np.ndarray, "1 1 h w"] = ((meters - self.near) / (self.far - self.near) * 2 - 1)[None, None]
        return levels.astype(np.float32)

    def restore(self, row: Float32[np.ndarray, "1 h w"]) -> Meters:
        """Metres, cut to the range."""
        meters = (row[0] + 1) / 2 * (self.far - self.near) + self.near
        cut: Meters = np.clip(meters, self.near, self.far).astype(np.float32)
        return cut


def _is_there(value: Meters) -> Bool[np.ndarray, "h w"]:
    there: Bool[np.ndarray, "h w"] = np.isfinite(value) & (value > 0)
    return there


MODALITY = Depth(
    name="depth",
    title="Depth",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="depth", vocab=8192, loss=Loss.smooth_l1, diffusible=True),
    labeller="Omnidata DPT-Hybrid v2",
)
