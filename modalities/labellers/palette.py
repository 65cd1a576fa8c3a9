"""The dominant colors of an image."""

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

MAX_COLORS = 7
"""Most colors of a palette, as published."""

_NUM_ITERATIONS = 4


def dominant_colors(rgb: UInt8[np.ndarray, "h w 3"], k: int) -> UInt8[np.ndarray, "k 3"]:
    """The k dominant colors, those of the most pixels first.

    k-means over a histogram of 16 levels a channel, started from the commonest color and then, one by one, from the
    bin with the largest count times squared distance to what was chosen. Deterministic; an image of fewer than k
    colors repeats its first.

    Raises:
        ValueError: ``k`` is not positive.
    """
    if k < 1:
        raise ValueError(f"A palette needs one colour or more, got k={k}.")
    colors, counts = _histogram(rgb)
    centers = _initial_centers(colors, counts, k)
    for _ in range(_NUM_ITERATIONS):
        nearest = ((colors[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
        shares = np.bincount(nearest, counts, k)
        sums = np.stack([np.bincount(nearest, counts * colors[:, c], k) for c in range(3)], axis=1)
        centers = sums / np.maximum(shares, 1)[:, None]
    order = np.argsort(-shares, kind="stable")
    centers[shares == 0] = centers[order[0]]
    return np.rint(centers[order]).astype(np.uint8)


def _histogram(rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean color and the pixel count of each occupied bin."""
    channels = rgb.reshape(-1, 3).T
    high = (channels >> 4).astype(np.int64)
    bins = (high[0] << 8) | (high[1] << 4) | high[2]
    counts = np.bincount(bins, minlength=4096)
    used = np.flatnonzero(counts)
    sums = np.stack([np.bincount(bins, channel, 4096)[used] for channel in channels], axis=1)
    total = counts[used].astype(np.float64)
    return sums / total[:, None], total


def _initial_centers(colors: NDArray[np.float64], counts: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Choose k starting colors that are common and far apart."""
    chosen = [int(counts.argmax())]
    distance = ((colors - colors[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(k - 1):
        chosen.append(int((counts * distance).argmax()))
        distance = np.minimum(distance, ((colors - colors[chosen[-1]]) ** 2).sum(axis=1))
    return colors[chosen]
