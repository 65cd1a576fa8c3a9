"""Metadata of 4M-21: numbers about one image, its maps, its caption and its contents.

Source: Bachmann et al. 2024 (arXiv:2406.09406), section 2.1 and appendix D.1.
"""

import re
from collections.abc import Container, Iterable, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from modalities.labels import CLASSES, THINGS, WALKABLE

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
OCCLUSION_THRESHOLD = 0.3
"""Sobel magnitude of depth, itself scaled to 0..1, from which a pixel counts as at an occlusion."""


def image_statistics(rgb: UInt8[np.ndarray, "h w 3"]) -> dict[str, float]:
    """Measure an image.

    Returns:
        colorfulness: Hasler and Suesstrunk 2003, eq. 13 (0 for gray, about 110 for extremely colorful).
        brightness, contrast: mean and standard deviation of luma, 0..255.
        saturation: mean of HSV's saturation, 0..255.
        entropy: of luma's 256 levels, bits, 0..8.
    """
    channels = rgb.reshape(-1, 3).T.astype(np.float32)
    r, g, b = channels
    luma = _LUMA @ channels
    red_green, yellow_blue = r - g, 0.5 * (r + g) - b
    spread = np.hypot(red_green.std(), yellow_blue.std())
    offset = np.hypot(red_green.mean(), yellow_blue.mean())
    high, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    share = np.bincount(luma.astype(np.int64), minlength=256) / luma.shape[0]
    share = share[share > 0]
    return {
        "colorfulness": float(spread + 0.3 * offset),
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "saturation": float((255 * (high - low) / np.maximum(high, 1)).mean()),
        "entropy": float(-(share * np.log2(share)).sum()),
    }


def geometric_complexity(normals: Float32[np.ndarray, "h w 3"]) -> float:
    """Spherical variance of unit normals: 0 for a plane, 1 where directions cancel out."""
    mean = normals.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    return max(0.0, 1.0 - float(np.sqrt(mean @ mean)))


def occlusion_score(depth: Float32[np.ndarray, "h w"]) -> float:
    """Fraction of pixels at which depth jumps: Sobel magnitude above `OCCLUSION_THRESHOLD`.

    Depth is scaled to 0..1 by its least and greatest value first, as the relative depth that 4M's labels come from is.
    """
    low, high = float(depth.min()), float(depth.max())
    if high - low < 1e-6:
        return 0.0
    padded = np.pad((depth - np.float32(low)) / np.float32(high - low), 1, mode="edge")
    down, right = padded[2:] - padded[:-2], padded[:, 2:] - padded[:, :-2]
    down = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    right = right[:-2] + 2 * right[1:-1] + right[2:]
    return float((down * down + right * right > OCCLUSION_THRESHOLD**2).mean())


def walkability(
    classes: UInt8[np.ndarray, "h w"],
    *,
    class_names: Sequence[str] = CLASSES,
    walkable: Container[str] = WALKABLE,
) -> float:
    """Fraction of pixels whose class one can walk on."""
    return _class_fraction(classes, class_names, walkable)


def objectness(
    classes: UInt8[np.ndarray, "h w"], *, class_names: Sequence[str] = CLASSES, things: Container[str] = THINGS
) -> float:
    """Fraction of pixels whose class is countable."""
    return _class_fraction(classes, class_names, things)


def _class_fraction(classes: UInt8[np.ndarray, "h w"], class_names: Sequence[str], chosen: Container[str]) -> float:
    """Fraction of pixels of a class map whose class is among ``chosen``."""
    counts = np.bincount(classes.ravel(), minlength=len(class_names))
    is_chosen = np.array([name in chosen for name in class_names])
    return float(counts[: len(class_names)][is_chosen].sum() / classes.size)


def semantic_diversity(classes: UInt8[np.ndarray, "h w"]) -> int:
    """Number of classes with at least one pixel."""
    return int(np.count_nonzero(np.bincount(classes.ravel())))


def caption_counts(text: str) -> dict[str, int]:
    """Count characters, words (runs between spaces) and sentences (a text without a full stop is one) of a caption."""
    sentences = [part for part in re.split(r"[.!?]+", text) if part.strip()]
    return {"characters": len(text), "words": len(text.split()), "sentences": len(sentences)}


def instance_counts(class_names: Iterable[str], *, things: Container[str] = THINGS) -> dict[str, int]:
    """Count the instances whose class names are given.

    Returns:
        humans: instances of class person.
        instances: all of them.
        things: those of countable classes, people left out.
        diversity: different classes.
    """
    names = list(class_names)
    return {
        "humans": names.count("person"),
        "instances": len(names),
        "things": sum(name in things and name != "person" for name in names),
        "diversity": len(set(names)),
    }
