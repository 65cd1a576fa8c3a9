"""Pictures as tensors: whole pictures at a size that a network takes, normalised as its configuration says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from modalities.errors import DataError
from modalities.storage.atomic import read_json_object

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """Size and normalisation of a network's pictures. A picture is resized as a whole, and never cropped."""

    shortest: int = 0
    """Shorter side in pixels, sides in proportion; 0 where `height` and `width` are fixed."""
    longest: int = 0
    """Most pixels of the longer side; 0 for no limit."""
    height: int = 0
    width: int = 0
    multiple: int = 1
    """Number that both sides are rounded to a multiple of."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Subtracted from levels 0 to 1."""
    std: tuple[float, ...] = IMAGENET_STD
    """Divided by afterwards."""
    resample: int = int(Image.Resampling.BILINEAR)
    """Pillow's number of the filter."""

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a resized picture."""
        if self.height and self.width:
            return self.height, self.width
        scale = self.shortest / min(height, width)
        if self.longest:
            scale = min(scale, self.longest / max(height, width))
        rounded = (max(round(side * scale / self.multiple), 1) * self.multiple for side in (height, width))
        new_height, new_width = rounded
        return new_height, new_width


def read_picture_settings(folder: Path) -> PictureSettings:
    """The settings in a model's ``preprocessor_config.json``.

    Raises:
        DataError: The file is missing, or states no size.
    """
    path = folder / "preprocessor_config.json"
    config = read_json_object(path)
    size: Any = config.get("size")
    normalization: dict[str, Any] = {
        "mean": tuple(config.get("image_mean", IMAGENET_MEAN)),
        "std": tuple(config.get("image_std", IMAGENET_STD)),
        "resample": int(config.get("resample", PictureSettings.resample)),
    }
    match size:
        case {"height": int(height), "width": int(width)}:
            return PictureSettings(height=height, width=width, **normalization)
        case {"shortest_edge": int(shortest)}:
            return PictureSettings(shortest=shortest, longest=int(size.get("longest_edge") or 0), **normalization)
        case int():
            return PictureSettings(shortest=size, longest=int(config.get("max_size") or 0), **normalization)
        case _:
            raise DataError(f"{path} states the size {size!r}, expected height and width, or shortest_edge.")


def picture_tensor(
    picture: UInt8[np.ndarray, "h w 3"], settings: PictureSettings
) -> Float32[Tensor, "1 3 height width"]:
    """The whole picture at the network's size, normalised."""
    height, width = settings.sides(*picture.shape[:2])
    image = Image.fromarray(picture).resize((width, height), Image.Resampling(settings.resample))
    levels = torch.from_numpy(np.array(image, dtype=np.float32)) / 255
    normalized = (levels - torch.tensor(settings.mean)) / torch.tensor(settings.std)
    return normalized.permute(2, 0, 1)[None].contiguous()
