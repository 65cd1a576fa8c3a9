"""Surface normals: which way each pixel's surface faces, in the camera's frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from modalities.dense import ImageModality, mean
from modalities.files import check_shape, check_suffix, read_array, read_levels, resample, write_array, write_image
from modalities.metrics import normal_measures
from modalities.spec import Dense, Loss, Measure, View, ViTVQ

if TYPE_CHECKING:
    from modalities.scene import Scene

Directions = Float32[np.ndarray, "h w 3"]


@dataclass(frozen=True, kw_only=True)
class Normals(ImageModality):
    """Unit vectors (side, side, 3), float32: x right, y up, z towards the viewer. A vector of length zero is missing.

    Missing normals stay zero in views and in the tokenizer's input and are left out by metrics. Files are .npy, or
    .png with the components -1..1 as bytes and (128, 128, 128) for what is missing.
    """

    def look(self, scene: "Scene") -> Directions:
        """The scene's normals."""
        return scene.normals

    def read(self, path: Path) -> Directions:
        """The vectors in a .npy file or a .png, made of unit length."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            return unit(read_array(path, (None, None, 3)))
        levels = read_levels(path)
        check_shape(path, levels.shape, (None, None, 3))
        vectors = levels.astype(np.float32) / np.float32(127.5) - 1
        return unit(np.where((levels == 128).all(-1, keepdims=True), np.float32(0), vectors))

    def write(self, path: Path, value: Directions) -> None:
        """Write a .npy file, or bytes as a .png."""
        if check_suffix(path, (".npy", ".png")) == ".npy":
            write_array(path, value)
        else:
            write_image(path, self.draw(value))

    def augment(self, value: Float32[np.ndarray, "a b 3"], view: View) -> Directions:
        """The part that the view shows, bilinear and made of unit length; a mirror turns left into right."""
        shown = resample(value, view, self.grid.side, nearest=False).astype(np.float32)
        if view.flip:
            shown[..., 0] *= -1
        return shown if view.width == view.height == 1 and shown.shape == value.shape else unit(shown)

    def draw(self, value: Directions) -> UInt8[np.ndarray, "h w 3"]:
        """The components as red, green and blue; missing is gray."""
        levels = np.rint((np.clip(value, -1, 1) + 1) * 127.5).astype(np.uint8)
        return np.where(_is_there(value)[..., None], levels, np.uint8(128))

    def metrics(self) -> dict[str, Measure]:
        """Mean angle, shares of pixels under 11.25, 22.5 and 30 degrees."""
        return normal_measures()

    def typical(self, values: Sequence[Directions]) -> Directions:
        """The mean direction of each pixel; towards the viewer where there is none."""
        guess = unit(mean(values).astype(np.float32))
        filled: Directions = np.where(_is_there(guess)[..., None], guess, np.array([0, 0, 1], dtype=np.float32))
        return filled

    @property
    def normalisation(self) -> str:
        """What `prepare` does."""
        return "unit vectors as they are, each component -1..1"

    def prepare(self, value: Directions) -> Float32[np.ndarray, "1 3 h w"]:
        """Channels first."""
        return np.ascontiguousarray(np.moveaxis(value, -1, 0)[None], dtype=np.float32)

    def restore(self, row: Float32[np.ndarray, "3 h w"]) -> Directions:
        """Vectors of unit length."""
        return unit(np.moveaxis(row, 0, -1).astype(np.float32))


def unit(vectors: Directions) -> Directions:
    """Vectors made of unit length; zero where they are too short to have a direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    is_long = np.isfinite(length) & (length > 1e-3)
    found: Directions = np.divide(vectors, length, out=np.zeros(vectors.shape, np.float32), where=is_long)
    return found


def _is_there(value: Directions) -> Bool[np.ndarray, "h w"]:
    there: Bool[np.ndarray, "h w"] = np.isfinite(value).all(-1) & (value != 0).any(-1)
    return there


MODALITY = Normals(
    name="normals",
    title="Surface normals",
    layout=Dense(channels=3, size=224, patch=16),
    tokenizer=ViTVQ(name="normals", vocab=8192, loss=Loss.mse, diffusible=True),
    labeller="Omnidata DPT-Hybrid v2",
)
