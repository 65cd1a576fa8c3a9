"""Small samples of three modalities as files' contents, which tests put into archives, tables and folders."""

import io
from typing import Any

import numpy as np
from PIL import Image

from modalities.registry import default_registry
from modalities.spec import Modality

NAMES = ("rgb", "depth", "caption")
SIDE = 32


def run_modalities(*names: str) -> dict[str, Modality]:
    """Modalities at the scale of a tiny run."""
    from modalities.layouts import ScaleConfig

    scale = ScaleConfig(size=SIDE, patch=8, max_vocab=64, max_tokens=32)
    return {name: default_registry()[name].scaled(scale) for name in names or NAMES}


def png(array: Any) -> bytes:
    """An array as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(array).save(content, format="PNG")
    return content.getvalue()


def npy(array: Any) -> bytes:
    """An array as a .npy file."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def levels(number: int) -> Any:
    """Colour levels of a sample, all unlike those of others."""
    draw = np.random.default_rng(number)
    return draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def meters(number: int) -> Any:
    """Depth of a sample."""
    return np.random.default_rng(1000 + number).uniform(1, 5, (SIDE, SIDE)).astype(np.float32)


def words(number: int) -> str:
    """Caption of a sample."""
    colors = ("red", "green", "blue", "yellow")
    return f"A {colors[number % 4]} square number {number} above a {colors[number // 4 % 4]} line."


def contents(number: int) -> dict[str, tuple[str, bytes]]:
    """Suffix and content of the file of each modality of a sample."""
    return {
        "rgb": ("png", png(levels(number))),
        "depth": ("npy", npy(meters(number))),
        "caption": ("txt", words(number).encode()),
    }
