"""Colours for what has none: depth, classes, features, vectors. Needs no plotting library."""

import functools

import numpy as np
from jaxtyping import Float, Float64, UInt8
from numpy.typing import NDArray

_D65 = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_TO_RGB = np.linalg.inv(_TO_XYZ)
MISSING_COLOR = (128, 128, 128)
"""Colour of a place without a value."""

_NUM_BARS = 64
_BAR_WIDTH = 4
_HEIGHT = 96
_BACKGROUND = (238, 238, 234)


def lch_to_rgb(light: NDArray[np.float64], chroma: NDArray[np.float64], hue: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The sRGB bytes of CIELAB colours given as lightness 0..100, chroma and hue in degrees; clipped to the gamut."""
    y = (light + 16) / 116
    x = y + chroma * np.cos(np.radians(hue)) / 500
    z = y - chroma * np.sin(np.radians(hue)) / 200
    roots = np.stack([x, y, z], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 16 / 116) / 7.787) * _D65
    linear = np.clip(xyz @ _TO_RGB.T, 0, 1)
    sampled = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    levels: NDArray[np.uint8] = np.rint(sampled * 255).astype(np.uint8)
    return levels


def rgb_to_lab(colors: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """The CIELAB colours (D65, 2 degrees) of sRGB levels 0..255, by IEC 61966-2-1 and CIE 15."""
    linear = colors / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    xyz = linear @ _TO_XYZ.T / _D65
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@functools.lru_cache(maxsize=1)
def _sequential_colormap() -> UInt8[np.ndarray, "256 3"]:
    """From a light yellow over reds to a dark blue, in even steps of lightness."""
    share = np.linspace(0, 1, 256)
    return lch_to_rgb(94 - 82 * share, 20 + 42 * np.sin(np.pi * share), 95 - 175 * share)


@functools.lru_cache(maxsize=1)
def _diverging_colormap() -> UInt8[np.ndarray, "256 3"]:
    """From blue over near white to red."""
    share = np.linspace(-1, 1, 256)
    away = np.abs(share)
    return lch_to_rgb(96 - 50 * away, 58 * away, np.where(share < 0, 265.0, 35.0))


def sequential_colors(share: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Colours of values 0..1: 0 is light, 1 is dark, equal steps look equal. What is not finite is gray."""
    return _apply_colormap(_sequential_colormap(), share)


def diverging_colors(value: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Colours of values -1..1: negative is blue, positive red, 0 near white."""
    return _apply_colormap(_diverging_colormap(), (np.asarray(value) + 1) / 2)


def _apply_colormap(table: UInt8[np.ndarray, "256 3"], share: NDArray[np.floating]) -> NDArray[np.uint8]:
    is_valid = np.isfinite(share)
    steps = np.clip(np.where(is_valid, share, 0) * 255, 0, 255)
    colors: NDArray[np.uint8] = table[np.rint(steps).astype(int)]
    colors[~is_valid] = MISSING_COLOR
    return colors


@functools.lru_cache(maxsize=8)
def class_colors(count: int) -> UInt8[np.ndarray, "count 3"]:
    """One colour for each class, the same whatever their number. Neighbours differ in hue and lightness."""
    index = np.arange(count)
    hues = np.asarray((index * 77 + 300) % 360, dtype=np.float64)
    light: NDArray[np.float64] = np.array([45.0, 88.0, 74.0, 60.0])[index % 4]
    return lch_to_rgb(light, np.full(count, 55.0), hues)


def render_class_map(classes: UInt8[np.ndarray, "h w"], count: int) -> UInt8[np.ndarray, "h w 3"]:
    """A class map in colours; what is beyond the last class is gray."""
    table = np.concatenate([class_colors(count), np.array([MISSING_COLOR], dtype=np.uint8)])
    colors: UInt8[np.ndarray, "h w 3"] = table[np.minimum(classes.astype(int), count)]
    return colors


@functools.lru_cache(maxsize=8)
def _random_projection(channels: int) -> NDArray[np.float64]:
    directions: NDArray[np.float64] = np.random.default_rng(channels).standard_normal((channels, 3))
    return directions


def render_feature_map(features: Float[np.ndarray, "h w c"], cell: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Three fixed random projections of each vector as its colour, in squares of ``cell`` pixels.

    The directions are the same for all pictures, so pictures can be compared; lengths play no part.
    """
    rows = np.nan_to_num(features.astype(np.float64))
    rows = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
    shares = 0.5 + 0.5 * np.tanh(rows @ _random_projection(rows.shape[-1]))
    colors = np.rint(shares * 255).astype(np.uint8)
    squares: NDArray[np.uint8] = colors.repeat(cell, axis=0).repeat(cell, axis=1)
    return squares


def render_vector(vector: Float[np.ndarray, " c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Bars up and down from a middle line for up to 64 channels at even steps; the longest fills the picture."""
    sampled = _subsample(np.nan_to_num(vector.astype(np.float64)), _NUM_BARS)
    lengths = sampled / max(float(np.abs(sampled).max()), 1e-9)
    heights = np.rint(lengths * (_HEIGHT // 2 - 1)).astype(int)
    picture = np.full((_HEIGHT, len(sampled) * _BAR_WIDTH, 3), _BACKGROUND, dtype=np.uint8)
    middle = _HEIGHT // 2
    colors = diverging_colors(lengths)
    for index, height in enumerate(heights.tolist()):
        low, high = sorted((middle, middle - height))
        picture[low : high + 1, index * _BAR_WIDTH : index * _BAR_WIDTH + _BAR_WIDTH - 1] = colors[index]
    return picture


def render_vector_rows(rows: Float[np.ndarray, "n c"]) -> UInt8[np.ndarray, "h w 3"]:
    """A heat map with one line for each vector, of up to 64 of its channels at even steps."""
    if not len(rows):
        return np.full((_BAR_WIDTH, _NUM_BARS * _BAR_WIDTH, 3), _BACKGROUND, dtype=np.uint8)
    sampled = _subsample(np.nan_to_num(rows.astype(np.float64)).T, _NUM_BARS).T
    colors = diverging_colors(sampled / max(float(np.abs(sampled).max()), 1e-9))
    return colors.repeat(_BAR_WIDTH, axis=0).repeat(_BAR_WIDTH, axis=1)


def _subsample(values: NDArray[np.float64], max_count: int) -> NDArray[np.float64]:
    """At most ``most`` entries at even steps."""
    count = min(len(values), max_count)
    return values[np.arange(count) * len(values) // count]
