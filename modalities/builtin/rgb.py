"""RGB: the picture itself, which enters the model both as pixels and as tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from torchmetrics import MetricCollection

from modalities.decoding import DecodingDefaults
from modalities.kinds.arrays import as_array, channels_last, color_levels, is_image, require_channels
from modalities.kinds.dense import ImageModality, elementwise_mean
from modalities.layouts import Dense
from modalities.metrics.images import rgb_metrics
from modalities.storage.files import is_array_file, load_array, read_rgb, write_image
from modalities.storage.pixels import WHITE, rgb_levels
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ
from modalities.values import ValueSpec

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, kw_only=True)
class Rgb(ImageModality):
    """sRGB bytes (side, side, 3). Files are images of any type and resolution."""

    suffix: str = ".png"
    background: tuple[int, int, int] = WHITE
    """Colour that transparent pixels of images are composited over, levels 0..255."""

    def __post_init__(self) -> None:
        if len(self.background) != 3 or any(not 0 <= level <= 255 for level in self.background):
            raise ValueError(f"{self.name} has the background {self.background}, expected three levels 0 to 255.")

    @property
    def value_spec(self) -> ValueSpec:
        """SRGB levels."""
        return ValueSpec(
            type="uint8",
            shape="(h, w, 3)",
            unit="sRGB levels, or floats from 0 to 1, or a Pillow image",
            low=0,
            high=255,
            files="images of any type, whose transparency is composited over `background`; .npy",
        )

    def read_file(self, path: Path) -> Picture:
        """The picture in any image file, upright, or in a .npy file."""
        if is_array_file(path):
            return self.check(load_array(path), str(path))
        return read_rgb(path, self.background)

    def check(self, value: Any, origin: str) -> Picture:
        """uint8 levels 0..255 or floats 0..1, (h, w, 3)."""
        expected = str(self.value_spec)
        array = require_channels(origin, as_array(origin, value, expected), 3, expected)
        return np.ascontiguousarray(color_levels(origin, array, expected))

    def coerce(self, value: Any) -> Picture:
        """Levels as `check` takes them, whose channels may come first; or an image of Pillow, upright."""
        if is_image(value):
            return rgb_levels(value, self.name, self.background)
        return self.check(channels_last(self.name, value, 3, str(self.value_spec)), self.name)

    def write_file(self, path: Path, value: Picture) -> None:
        """Write an image; a .jpg loses a little."""
        write_image(path, value)

    def render(self, value: Picture) -> Picture:
        """The picture."""
        return value

    def metrics(self) -> MetricCollection:
        """PSNR, SSIM, and a Frechet distance of our own."""
        return rgb_metrics()

    def constant_baseline(self, values: Sequence[Picture]) -> Picture:
        """The mean of each pixel."""
        return np.rint(elementwise_mean(values)).astype(np.uint8)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "levels 0..255 / 127.5 - 1, so -1..1"

    def preprocess(self, value: Picture) -> Float32[np.ndarray, "1 3 h w"]:
        """Levels from -1 to 1, channels first."""
        return np.ascontiguousarray(np.moveaxis(value, -1, 0)[None]).astype(np.float32) / np.float32(127.5) - 1

    def postprocess(self, row: Float32[np.ndarray, "3 h w"]) -> Picture:
        """Bytes, cut to their range."""
        levels = np.clip((np.moveaxis(row, 0, -1) + 1) * 127.5, 0, 255)
        return np.rint(levels).astype(np.uint8)


MODALITY = Rgb(
    name="rgb",
    title="RGB",
    layout=Dense(channels=3, size=224, patch=16),
    tokenizer=ViTVQ(name="rgb", vocab_size=16384, loss=ReconstructionLoss.mse, has_diffusion_decoder=True),
    labeller="the photograph itself",
    has_pixel_stream=True,
    decoding=DecodingDefaults(order=20, temperature="onex:3:0.5:0.5", steps=25, guidance=2.0),
)
