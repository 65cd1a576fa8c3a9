"""The place of a picture in a network's input, and the way back to the picture's own coordinates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A picture of some size that fills a part of a network's input."""

    width: int
    """Pixels of the input."""
    height: int
    picture_width: int
    picture_height: int
    left: int = 0
    """First column of the input that shows the picture."""
    top: int = 0
    shown_width: int
    """Columns of the input that show the picture."""
    shown_height: int

    def shares(
        self, x: NDArray[np.floating], y: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Places in pixels of the input as shares of the picture."""
        return (x - self.left) / self.shown_width, (y - self.top) / self.shown_height

    def whole(self, layers: Float32[np.ndarray, "a b c"]) -> Float32[np.ndarray, "h w c"]:
        """A map of the input, at any resolution, as a map of the picture at its own; bilinear."""
        scale_x, scale_y = layers.shape[1] / self.width, layers.shape[0] / self.height
        box = (
            self.left * scale_x,
            self.top * scale_y,
            (self.left + self.shown_width) * scale_x,
            (self.top + self.shown_height) * scale_y,
        )
        size = (self.picture_width, self.picture_height)
        resized = [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(layers[..., channel])).resize(
                    size, Image.Resampling.BILINEAR, box=box
                )
            )
            for channel in range(layers.shape[-1])
        ]
        return np.stack(resized, axis=-1)
