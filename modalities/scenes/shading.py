"""Color of visible surfaces: albedo with solid textures, Lambert's law, hard shadows, and haze with distance."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from modalities.scenes.layout import SceneGeometry
from modalities.scenes.primitives import Floats, PrimitiveParts, dot
from modalities.scenes.raycast import RayHits, is_lit_by
from modalities.scenes.room import Light
from modalities.scenes.world import Material

_HAZE_LENGTH = 16.0
"""Depth at which about two thirds of a color is haze, meters."""


def shade(geometry: SceneGeometry, parts: PrimitiveParts, hits: RayHits, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, sRGB 0..255."""
    room = geometry.room
    color = _albedo(geometry.materials, hits, room.camera.focal * size)
    point, normal = hits.point, hits.normal
    light = np.float32(room.ambient) * (np.float32(0.85) + np.float32(0.15) * normal[1])
    for lamp in room.lights:
        light += _received_light(lamp, parts, hits)
    np.minimum(light, np.float32(1.25), out=light)
    haze = np.exp(np.minimum(hits.depth, 40) * np.float32(-1 / _HAZE_LENGTH))
    far = np.array(room.haze, np.float32)[:, None]
    sky = np.flatnonzero(hits.material == 0)
    if sky.size:
        light[sky], haze[sky] = 1, np.clip(point[1, sky] * np.float32(1 / 6), 0, 1) ** np.float32(0.7)
    color *= light
    color -= far
    color *= haze
    color += far
    color *= 255
    color += np.float32(0.5)
    picture = np.clip(color, 0, 255, out=color).astype(np.uint8)
    return np.ascontiguousarray(picture.T.reshape(size, size, 3))


def _received_light(lamp: Light, parts: PrimitiveParts, hits: RayHits) -> Floats:
    """Light (n,) of one lamp on surfaces."""
    toward = np.array(lamp.position, np.float32)[:, None] - hits.point
    slant = dot(toward, hits.normal)
    front = np.flatnonzero((slant > 0) & (hits.material != 0))
    toward = toward.take(front, axis=1)
    lit = is_lit_by(lamp, parts, hits.point.take(front, axis=1), toward, hits.normal.take(front, axis=1))
    square = dot(toward, toward)
    power = np.float32(lamp.power) * slant[front] / np.sqrt(square)
    if not math.isinf(lamp.half_power_distance):
        power /= np.float32(0.4) + np.float32(2.4 / lamp.half_power_distance**2) * square
    received = np.zeros(slant.shape[0], np.float32)
    received[front] = power * lit
    return received


def _albedo(materials: Sequence[Material], hits: RayHits, pixels: float) -> Floats:
    """Albedo (3, n) with the solid texture; its contrast fades where cells get smaller than pixels."""
    rows = [
        (*m.rgb, m.contrast, *m.freq, float(m.is_noise), *m.origin, math.cos(m.yaw), math.sin(m.yaw)) for m in materials
    ]
    table = np.array(rows, np.float32).T
    color: Floats = table[:3].take(hits.material, axis=1)
    grained = np.flatnonzero(table[3].take(hits.material) > 0)
    if not grained.size:
        return color
    contrast, fx, fy, fz, is_noise, ox, oy, oz, c, s = table[3:].take(hits.material[grained], axis=1)
    normal = hits.normal.take(grained, axis=1)
    inner = hits.point.take(grained, axis=1) - np.float32(0.01) * normal
    x, y, z = inner[0] - ox, inner[1] - oy, inner[2] - oz
    i = np.floor((c * x - s * z) * fx).astype(np.int32)
    j = np.floor(y * fy).astype(np.int32)
    k = np.floor((s * x + c * z) * fz).astype(np.int32)
    dark = ((i + j + k) & 1).astype(np.float32)
    noise = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791)
    noise = ((noise ^ (noise >> 13)) * 1274126177 >> 16) & 255
    dark = np.where(is_noise > 0, noise.astype(np.float32) / 255, dark)
    facing = np.abs(dot(inner, normal)) / np.sqrt(dot(inner, inner))
    cells = hits.depth[grained] * np.maximum(np.maximum(fx, fy), fz) / (np.maximum(facing, 0.05) * np.float32(pixels))
    contrast = contrast * np.clip(np.float32(1.4) - cells, 0, 1)
    share = np.ones(hits.material.shape[0], np.float32)
    share[grained] -= contrast * dark
    color *= share
    return color
