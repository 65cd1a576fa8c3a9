"""The camera: a square pinhole at the world's origin, pitched about its x axis, and the rays through its pixels."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64


@functools.lru_cache(maxsize=8)
def _pixel_grid(size: int) -> Float32[np.ndarray, "3 n"]:
    """The pixel centers, row by row, on an image plane of side 1: (x right, y up, -1)."""
    line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size) - np.float32(0.5)
    x, y = np.meshgrid(line, -line)
    grid = np.stack([x.ravel(), y.ravel(), np.full(size * size, -1.0, np.float32)])
    grid.setflags(write=False)
    return grid


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera with a square image."""

    height: float
    """Above the floor, meters."""
    pitch: float
    """Radians; positive looks down."""
    focal: float
    """Focal length, in image sides."""

    @property
    def fov(self) -> float:
        """Angle of view across the image, radians."""
        return 2 * math.atan(0.5 / self.focal)

    @functools.cached_property
    def rotation(self) -> Float64[np.ndarray, "3 3"]:
        """Matrix that takes world vectors to camera vectors."""
        c, s = math.cos(self.pitch), math.sin(self.pitch)
        return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])

    def rays(self, size: int) -> Float32[np.ndarray, "3 n"]:
        """One world direction per pixel, row by row; a ray's parameter is the depth, as its camera z is -1."""
        scale = np.array([1 / self.focal, 1 / self.focal, 1.0])
        matrix = (self.rotation.T * scale).astype(np.float32)
        rays: Float32[np.ndarray, "3 n"] = matrix @ _pixel_grid(size)
        return rays

    def project(self, points: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 2"]:
        """Project camera-frame points into the image: x right, y down, 0..1 inside."""
        plane = points[:, :2] / -points[:, 2:] * self.focal
        image: Float32[np.ndarray, "n 2"] = (np.array([0.5, 0.5]) + plane * np.array([1.0, -1.0])).astype(np.float32)
        return image
