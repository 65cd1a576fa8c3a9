"""Edges: Canny's detector on an image, and the borders of an instance map."""

import functools

import numpy as np
from jaxtyping import Int, UInt8
from numpy.typing import NDArray

_LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32) / np.float32(255)


@functools.lru_cache(maxsize=16)
def _gaussian_sobel_filters(length: int, sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two matrices that filter one axis: a Gaussian and then Sobel's smoothing, or its derivative.

    The Gaussian has four sigmas on each side and gives missing pixels no weight; Sobel's filters mirror the border.
    """
    position = np.arange(length)
    distance = position[:, None] - position[None, :]
    blur = np.where(np.abs(distance) <= int(4 * sigma + 0.5), np.exp(-0.5 * (distance / sigma) ** 2), 0.0)
    blur /= blur.sum(axis=1, keepdims=True)
    before, after = blur[np.maximum(position - 1, 0)], blur[np.minimum(position + 1, length - 1)]
    return (before + 2 * blur + after).astype(np.float32), (after - before).astype(np.float32)


def canny(
    rgb: UInt8[np.ndarray, "h w 3"], *, sigma: float = 1.0, low: float = 0.2, high: float = 0.5
) -> UInt8[np.ndarray, "h w"]:
    """Detect edges in the image's luma: 1 on an edge, 0 elsewhere and on the outermost pixels.

    ``low`` and ``high`` bound the gradient magnitude for hysteresis, in luma (0..1) as Sobel's unscaled 3 x 3 filters
    give it; ``sigma`` is the Gaussian's, in pixels.

    Source: Canny 1986, with the interpolated non-maximum suppression that scikit-image has.

    Raises:
        ValueError: ``low`` exceeds ``high``.
    """
    if low > high:
        raise ValueError(f"canny needs low <= high, got {low} and {high}.")
    gray = rgb.astype(np.float32) @ _LUMA
    height, width = gray.shape
    (smooth_y, change_y), (smooth_x, change_x) = (
        _gaussian_sobel_filters(height, sigma),
        _gaussian_sobel_filters(width, sigma),
    )
    down = (change_y @ gray @ smooth_x.T).ravel()
    right = (smooth_y @ gray @ change_x.T).ravel()
    strength = np.sqrt(down * down + right * right)
    inner = np.zeros((height, width), np.bool_)
    inner[1:-1, 1:-1] = True
    position = np.flatnonzero((strength >= low) & inner.ravel())
    edges = np.zeros(height * width, np.uint8)
    if position.size:
        ridge = position[_is_local_maximum(strength, position, down[position], right[position], width)]
        edges[ridge] = 1
        _apply_hysteresis(edges, ridge[strength[ridge] >= high], width)
    return edges.reshape(height, width)


def _is_local_maximum(
    strength: NDArray[np.float32],
    position: NDArray[np.int64],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    width: int,
) -> NDArray[np.bool_]:
    """True where the strength is no less than at both interpolated neighbors across the edge."""
    sign = np.where(down * right >= 0, 1, -1)
    is_steep = np.abs(down) > np.abs(right)
    straight = np.where(is_steep, width, 1)
    diagonal = straight + sign * np.where(is_steep, 1, width)
    flat, steep = np.minimum(np.abs(down), np.abs(right)), np.maximum(np.abs(down), np.abs(right))
    share = flat / steep
    center, rest = strength[position], 1 - share
    ahead = strength[position + straight] * rest + strength[position + diagonal] * share
    behind = strength[position - straight] * rest + strength[position - diagonal] * share
    ridge: NDArray[np.bool_] = (ahead <= center) & (behind <= center)
    return ridge


def _apply_hysteresis(edges: NDArray[np.uint8], strong: NDArray[np.int64], width: int) -> None:
    """Keep the 1s of a flat map that a path of 1s (8 neighbors) joins to ``strong``; no 1 touches the border."""
    offsets = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    edges[strong] = 2
    front = strong
    while front.size:
        neighbors = (front[:, None] + offsets).ravel()
        neighbors = neighbors[edges[neighbors] == 1]
        edges[neighbors] = 2
        front = np.unique(neighbors) if neighbors.size > 32 else neighbors
    edges >>= 1


def instance_edges(instances: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Mark the borders of an instance map: 1 where the pixel to the right, or the one below, is another instance's."""
    edges = np.zeros(instances.shape, np.uint8)
    edges[:, :-1] = instances[:, :-1] != instances[:, 1:]
    edges[:-1] |= instances[:-1] != instances[1:]
    return edges
