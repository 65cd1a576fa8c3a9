"""Open images of every mode as arrays: colours for photographs, stored levels for maps."""

from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageColor, ImageOps

from modalities.errors import ConfigError, DataError

WHITE = (255, 255, 255)
"""Colour that transparent pixels are composited over."""

_OPAQUE = 255
_BITS = "8 or 16 bits a channel"


def parse_color(value: Any) -> tuple[int, int, int]:
    """The levels of a colour that is a name, ``#rrggbb`` or three levels 0..255.

    Raises:
        ConfigError: It is no colour.
    """
    levels = value
    if isinstance(value, str):
        try:
            levels = ImageColor.getrgb(value)[:3]
        except ValueError:
            levels = ()
    has_levels = isinstance(levels, list | tuple) and len(levels) == 3
    if not has_levels or any(not isinstance(level, int) or not 0 <= level <= 255 for level in levels):
        raise ConfigError(f"{value!r} is no colour: expected a name, #rrggbb, or three levels 0 to 255.")
    red, green, blue = levels
    return red, green, blue


def rgb_levels(image: Image.Image, origin: str, background: tuple[int, int, int] = WHITE) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of an open image, upright. Of 16 bits of gray the upper 8 are taken.

    Args:
        origin: Names the image in the message.
        background: Colour under transparent pixels; the colours stored there do not show.

    Raises:
        DataError: Its numbers do not have 8 or 16 bits.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        gray = (levels_of_16_bits(image, origin, f"expected {_BITS}") >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.mode == "LAB":
        return np.asarray(_lab_to_rgb(image))
    if image.has_transparency_data:
        picture = _straight_alpha(image)
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (*background, _OPAQUE)), picture)
        return np.asarray(picture.convert("RGB"))
    return np.asarray(image.convert("RGB"))


def image_levels(image: Image.Image, origin: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The levels of an open image as they are stored: (h, w) for gray and palettes, (h, w, 3) for colours.

    Args:
        origin: Names the image in the message.

    Raises:
        DataError: Its numbers do not have 8 or 16 bits, or a pixel is transparent.
    """
    match image.mode:
        case "L" | "P":
            return np.asarray(image, dtype=np.uint8)
        case "1":
            return np.asarray(image, dtype=np.uint8) * np.uint8(255)
        case "RGB":
            return np.asarray(image)
        case "RGBA" | "LA" | "PA":
            layers = np.asarray(image)
            require_opaque(layers[..., -1], origin)
            return layers[..., 0] if image.mode != "RGBA" else np.ascontiguousarray(layers[..., :3])
        case "I;16" | "I;16B" | "I;16L" | "I;16N" | "I":
            return levels_of_16_bits(image, origin)
        case _:
            raise DataError(f"{origin} has pixels of kind {image.mode}, expected 8 or 16 bits of gray, or colours.")


def grayscale_levels(image: Image.Image, origin: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The levels (h, w) of an open gray or palette image of 8 or 16 bits.

    Raises:
        DataError: The image is in colours.
    """
    levels = image_levels(image, origin)
    if levels.ndim != 2:
        raise DataError(f"{origin} has shape {levels.shape}, expected (any, any): one level a pixel, no colours.")
    return levels


def levels_of_16_bits(
    image: Image.Image, origin: str, expected: str = "expected 8 or 16 bits of gray, or colours"
) -> NDArray[np.uint16]:
    """The levels (h, w) of an open gray image of 16 bits.

    Raises:
        DataError: Its numbers are floats or do not fit 16 bits.
    """
    levels: NDArray[Any] = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
        found = f"pixels of kind {image.mode}" + (f" up to {levels.max()}" if image.mode != "F" else "")
        raise DataError(f"{origin} has {found}, {expected}.")
    return levels.astype(np.uint16)


def _straight_alpha(image: Image.Image) -> Image.Image:
    """RGBA whose colours are not multiplied with alpha, out of any mode with transparency."""
    match image.mode:
        case "La":
            image = image.convert("LA")
        case "PA":
            # Pillow drops the alpha channel of this mode when it converts the palette.
            alpha = image.getchannel("A")
            image = image.convert("RGB").convert("RGBA")
            image.putalpha(alpha)
            return image
    return image.convert("RGBA")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    found = ImageCms.applyTransform(image, transform)
    assert found is not None
    return found


def require_opaque(alpha: NDArray[np.uint8], origin: str) -> None:
    """Check that no pixel is transparent.

    Raises:
        DataError: One is.
    """
    if (alpha != _OPAQUE).any():
        raise DataError(
            f"{origin} has transparent pixels (alpha down to {alpha.min()}), expected levels without transparency."
        )
