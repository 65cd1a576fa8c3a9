"""PROXIES: deterministic stand-ins for the features of CLIP, DINOv2, ImageBind and T5, whose weights are not used here.

They are fixed random projections, with a mild nonlinearity, of statistics of a scene's exact maps. A model that
predicts them well has understood the scene; no figure about them says anything about the networks they are named after.
"""

import functools
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from modalities.labels import CLASSES
from modalities.scenes.scene import Scene
from modalities.scenes.world import MAX_DEPTH

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class _ProxyWeights:
    """Weight of each group of statistics in one proxy."""

    semantics: float
    color: float
    geometry: float
    borders: float
    context: float
    """Share of the neighboring cells' mean, 0..1."""


_PROXY_WEIGHTS: dict[str, _ProxyWeights] = {
    "clip": _ProxyWeights(semantics=1.6, color=1.0, geometry=0.2, borders=0.2, context=0.35),
    "dinov2": _ProxyWeights(semantics=0.9, color=0.3, geometry=1.2, borders=0.9, context=0.15),
    "imagebind": _ProxyWeights(semantics=1.1, color=0.7, geometry=0.6, borders=0.3, context=0.6),
}
PROXY_NAMES: tuple[str, ...] = tuple(_PROXY_WEIGHTS)
_COLUMN_GROUPS = ("semantics",) * len(CLASSES) + ("color",) * 3 + ("geometry",) * 4 + ("borders",) * 2
_CENTER = np.array([0.0] * len(CLASSES) + [0.42] * 3 + [0.0, 0.3, 0.6, 0.4] + [0.1, 0.1], np.float32)
_GAIN = np.array([1.5] * len(CLASSES) + [4.0] * 3 + [1.5, 1.5, 2.0, 4.0] + [3.0, 3.0], np.float32)


@functools.lru_cache(maxsize=16)
def _pooling_matrix(size: int, grid: int) -> Floats:
    """The (grid, size) matrix that averages an axis into cells, with partial weights where they cut pixels."""
    edges = np.linspace(0.0, size, grid + 1)
    low, high = np.maximum(edges[:-1, None], np.arange(size)), np.minimum(edges[1:, None], np.arange(1, size + 1))
    pool: Floats = (np.maximum(high - low, 0) * grid / size).astype(np.float32)
    return pool


@functools.lru_cache(maxsize=2)
def _cell_statistics(scene: Scene, grid: int) -> Float32[np.ndarray, "n f"]:
    """Class fractions, mean color, normal, depth and border fractions of each cell, centered and scaled."""
    size, num = scene.size, len(CLASSES)
    maps = np.empty((size, len(_COLUMN_GROUPS), size), np.float32)
    maps[:, :num] = scene.classes[:, None, :] == np.arange(num, dtype=np.uint8)[:, None]
    maps[:, num : num + 3] = np.moveaxis(scene.rgb, 2, 1) * np.float32(1 / 255)
    maps[:, num + 3 : num + 6] = np.moveaxis(scene.normals, 2, 1)
    maps[:, num + 6] = scene.depth * np.float32(1 / MAX_DEPTH)
    instances = scene.instances
    maps[:, num + 7, :-1] = instances[:, 1:] != instances[:, :-1]
    maps[:-1, num + 8] = instances[1:] != instances[:-1]
    maps[:, num + 7, -1] = maps[-1, num + 8] = 0
    pool = _pooling_matrix(size, grid)
    rows = (pool @ maps.reshape(size, -1)).reshape(grid * len(_COLUMN_GROUPS), size)
    cells = (rows @ pool.T).reshape(grid, len(_COLUMN_GROUPS), grid)
    columns: Floats = np.asarray(np.moveaxis(cells, 1, 2).reshape(grid * grid, -1), np.float32)
    columns -= _CENTER
    columns *= _GAIN
    return columns


@functools.lru_cache(maxsize=32)
def _projection(proxy: str, channels: int, salt: str) -> Floats:
    """The fixed random matrix of a proxy, its rows weighted by the proxy's `_ProxyWeights`."""
    weights = np.array([getattr(_PROXY_WEIGHTS[proxy], group) for group in _COLUMN_GROUPS])
    rng = np.random.RandomState(zlib.crc32(f"{proxy}/{salt}/{channels}".encode()))
    matrix: NDArray[np.float64] = rng.standard_normal((len(_COLUMN_GROUPS), channels)) * weights[:, None]
    matrix /= 2 * np.sqrt((weights**2).mean())
    return np.asarray(matrix, np.float32)


def _proxy_weights(proxy: str) -> _ProxyWeights:
    if proxy not in _PROXY_WEIGHTS:
        raise ValueError(f"No feature proxy named {proxy!r}. Known: {', '.join(PROXY_NAMES)}.")
    return _PROXY_WEIGHTS[proxy]


def feature_map(scene: Scene, *, grid: int, channels: int, proxy: str) -> Float32[np.ndarray, "h w c"]:
    """A PROXY for a network's patch features: (grid, grid, channels), within -1..1.

    ``proxy`` is "clip" (mostly classes and colors), "dinov2" (geometry, borders, classes) or "imagebind" (a mixture
    with wider context).

    Raises:
        ValueError: The proxy is unknown.
    """
    weights = _proxy_weights(proxy)
    vectors = _cell_statistics(scene, grid).reshape(grid, grid, -1)
    padded = np.pad(vectors, ((1, 1), (1, 1), (0, 0)), mode="edge")
    neighbors = (padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]) * np.float32(0.25)
    mixed = vectors + (neighbors - vectors) * np.float32(weights.context)
    features: Floats = np.tanh(mixed @ _projection(proxy, channels, "map"))
    return features


def feature_vector(scene: Scene, *, channels: int, proxy: str) -> Float32[np.ndarray, " c"]:
    """A PROXY for a network's global feature: of the whole image, its upper and its lower half.

    Raises:
        ValueError: The proxy is unknown.
    """
    _proxy_weights(proxy)
    cells = _cell_statistics(scene, 2)
    upper, lower = cells[:2].mean(axis=0), cells[2:].mean(axis=0)
    whole = np.float32(1.2) * (upper + lower) @ _projection(proxy, channels, "whole")
    change = (upper - lower) @ _projection(proxy, channels, "halves")
    vector: Floats = np.tanh(whole + change)
    return vector


@functools.lru_cache(maxsize=4096)
def _word_vector(word: str, channels: int) -> Floats:
    rng = np.random.RandomState(zlib.crc32(word.encode()))
    return rng.standard_normal(channels).astype(np.float32)


def text_embedding(text: str, *, channels: int, max_tokens: int) -> Float32[np.ndarray, "n c"]:
    """A PROXY for a text encoder's output: one vector of unit variance per word, at most ``max_tokens`` of them.

    A word's vector is drawn from its hash and mixed with those of the words beside it.
    """
    words = text.lower().replace(".", " . ").replace(",", " , ").split()[:max_tokens]
    if not words:
        return np.zeros((0, channels), np.float32)
    vectors = np.stack([_word_vector(word, channels) for word in words])
    mixed = np.float32(0.9) * vectors
    mixed[1:] += np.float32(0.3) * vectors[:-1]
    mixed[:-1] += np.float32(0.3) * vectors[1:]
    return mixed
