"""Masks over inputs: the part of a grid that is generated anew."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from modalities.errors import DataError
from modalities.kinds.arrays import white_pixels
from modalities.layouts import Dense
from modalities.spec import Modality
from modalities.storage.files import open_image
from modalities.storage.pixels import levels_of_16_bits, require_opaque


def known_tokens(modality: Modality, mask: Any, size: tuple[int, int], origin: str) -> Tensor:
    """True at the tokens of which a mask shows nothing that is to be generated anew.

    Args:
        mask: Flags (h, w), or an image that is white there.
        size: Height and width of what is masked, before it is cropped.
        origin: Names what is masked, in messages.

    Raises:
        DataError: The mask cannot be read, or does not have the size of what it masks.
    """
    if not isinstance(modality.layout, Dense):
        raise DataError(f"{modality.name} has no places that a mask could show.")
    hidden_pixels = mask_flags(modality.name, mask)
    height, width = size
    if hidden_pixels.shape != (height, width):
        name = mask if isinstance(mask, str | Path) else "The mask"
        raise DataError(
            f"{name} is {hidden_pixels.shape[1]} x {hidden_pixels.shape[0]} pixels, but {origin} is "
            f"{width} x {height}: a mask must have the size of what it masks."
        )
    side, grid = min(height, width), modality.layout.grid
    if side < grid:
        raise DataError(
            f"{origin} is {width} x {height} pixels, fewer than the {grid} x {grid} places of {modality.name}."
        )
    top, left = (height - side) // 2, (width - side) // 2
    square = hidden_pixels[top : top + side, left : left + side]
    edges = np.linspace(0, side, grid + 1).astype(int)
    hidden = np.logical_or.reduceat(np.logical_or.reduceat(square, edges[:-1], axis=0), edges[:-1], axis=1)
    return torch.from_numpy(~hidden.ravel())


def mask_flags(name: str, mask: Any) -> NDArray[np.bool_]:
    """True (h, w) where a mask asks for something new: where an image is white, or where flags are set.

    Raises:
        DataError: The image is damaged, transparent in part or nowhere white; or there are no flags.
    """
    if isinstance(mask, str | Path):
        return _white_levels(open_image(Path(mask)), str(mask))
    if isinstance(mask, Image.Image):
        return _white_levels(mask, f"The mask of {name}")
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise DataError(
            f"The mask of {name} holds {array.dtype} of shape {array.shape}, expected flags (h, w) or an image."
        )
    return array


def _white_levels(image: Image.Image, origin: str) -> NDArray[np.bool_]:
    """True where an image of 8 or 16 bits is white, by its brightness where it is in colours."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return white_pixels(origin, levels_of_16_bits(image, origin))
    if image.has_transparency_data:
        require_opaque(np.asarray(image.convert("RGBA"))[..., 3], origin)
    return white_pixels(origin, np.asarray(image.convert("L")))
