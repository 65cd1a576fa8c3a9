"""Intersections of rays with spheres, tubes and boxes: exact, in float32, for lists of (part, pixel) pairs.

A capsule is a tube without ends and two spheres, a cylinder a tube with flat ends. All parts of a kind are intersected
in one go, each only with the pixels of its bounding rectangle. Vectors lie along the first axis: (3, n).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy.typing import NDArray

from modalities.scenes.world import Solid

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PrimitiveParts:
    """Primitives taken apart: `num_spheres` spheres, then `num_tubes` tubes, then boxes; one column each."""

    start: Floats
    """(3, m) center of a sphere or box, start of a tube's axis."""
    axis: Floats
    """(3, m) unit axis of a tube; for a box (cos yaw, sin yaw, 0)."""
    extent: Floats
    """(3, m): (radius, -, -) of a sphere, (radius, length, whether its ends are flat) of a tube, a box's half sides."""
    center: Floats
    """(3, m) of the bounding sphere."""
    bound: Floats
    """(m,) its radius."""
    instance: NDArray[np.int32]
    material: NDArray[np.int32]
    bodies: tuple[tuple[Ints, Floats, float], ...]
    """The parts of each instance, and its bounding sphere: center (3,), radius."""
    num_spheres: int
    num_tubes: int

    @property
    def num(self) -> int:
        """Number of parts."""
        return int(self.bound.shape[0])


def group_by_primitive(solids: Sequence[Solid]) -> PrimitiveParts:
    """The parts of all primitives."""
    spheres, tubes, boxes = [], [], []
    for kind, instance, material, a, b, radius, half, yaw in solids:
        tag = (float(instance), float(material))
        match kind:
            case "sphere":
                spheres.append((*a, *a, radius, 0.0, 0.0, *tag))
            case "capsule":
                spheres += [(*a, *a, radius, 0.0, 0.0, *tag), (*b, *b, radius, 0.0, 0.0, *tag)]
                tubes.append((*a, *b, radius, 0.0, 0.0, *tag))
            case "cylinder":
                tubes.append((*a, *b, radius, 0.0, 1.0, *tag))
            case _:
                boxes.append((*a, yaw, 0.0, 0.0, *half, *tag))
    table = np.array(spheres + tubes + boxes, dtype=np.float64).reshape(-1, 11).T
    s, t = len(spheres), len(spheres) + len(tubes)
    start, other, extent = table[:3], table[3:6], table[6:9]
    center, bound, axis = start.copy(), np.sqrt((extent * extent).sum(axis=0)), np.zeros_like(start)
    span = other[:, s:t] - start[:, s:t]
    extent[1, s:t] = np.sqrt((span * span).sum(axis=0))
    axis[:, s:t] = span / extent[1, s:t]
    center[:, s:t] += 0.5 * span
    bound[s:t] = np.hypot(0.5 * extent[1, s:t], extent[0, s:t])
    bound[:s] = extent[0, :s]
    axis[0, t:], axis[1, t:] = np.cos(other[0, t:]), np.sin(other[0, t:])
    tube_is_round = extent[2, s:t] == 0
    bound[s:t][tube_is_round] = (0.5 * extent[1] + extent[0])[s:t][tube_is_round]
    instance = table[9].astype(np.int32)
    return PrimitiveParts(
        start=start.astype(np.float32),
        axis=axis.astype(np.float32),
        extent=extent.astype(np.float32),
        center=center.astype(np.float32),
        bound=bound.astype(np.float32),
        instance=instance,
        material=table[10].astype(np.int32),
        bodies=_bodies(instance, center, bound),
        num_spheres=s,
        num_tubes=len(tubes),
    )


def _bodies(
    instance: NDArray[np.int32], center: NDArray[np.float64], bound: NDArray[np.float64]
) -> tuple[tuple[Ints, Floats, float], ...]:
    """Group parts by instance; the bounding sphere is about the middle of the extreme centers."""
    bodies = []
    for number in sorted(set(instance.tolist())):
        members = np.flatnonzero(instance == number)
        if members.size == 1:
            bodies.append((members, center[:, members[0]].astype(np.float32), float(bound[members[0]])))
            continue
        places = center[:, members]
        middle = 0.5 * (places.min(axis=1) + places.max(axis=1))
        away = places - middle[:, None]
        reach = float((np.sqrt((away * away).sum(axis=0)) + bound[members]).max())
        bodies.append((members, middle.astype(np.float32), reach))
    return tuple(bodies)


def intersect(parts: PrimitiveParts, part: Ints, origin: Floats, ray: Floats) -> Floats:
    """Distance at which each ray enters its part, as a multiple of ``ray``; infinite for a miss.

    ``part`` ascends, one entry per pair; ``ray`` is (3, n), ``origin`` (3, n) or (3, 1). Origins are outside the parts.
    """
    s = int(np.searchsorted(part, parts.num_spheres))
    t = int(np.searchsorted(part, parts.num_spheres + parts.num_tubes))
    shared = origin.shape[1] == 1
    hit = np.empty(part.shape[0], np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for first, last, function in ((0, s, _spheres), (s, t, _tubes), (t, part.shape[0], _boxes)):
            if last > first:
                rows = slice(first, last)
                hit[rows] = function(parts, part[rows], origin if shared else origin[:, rows], ray[:, rows])
    return hit


def dot(a: Floats, b: Floats) -> Floats:
    """The inner products of columns: (n,) of two (3, n)."""
    out: Floats = a[0] * b[0]
    out += a[1] * b[1]
    out += a[2] * b[2]
    return out


def _spheres(parts: PrimitiveParts, part: Ints, origin: Floats, ray: Floats) -> Floats:
    offset = origin - parts.start.take(part, axis=1)
    radius = parts.extent[0][part]
    square = dot(ray, ray)
    nearest = -dot(offset, ray) / square
    offset += nearest * ray
    inside = radius * radius - dot(offset, offset)
    entry: Floats = nearest - np.sqrt(inside / square)
    return np.where((inside > 0) & (entry > 0), entry, np.float32(np.inf))


def _tubes(parts: PrimitiveParts, part: Ints, origin: Floats, ray: Floats) -> Floats:
    axis, extent = parts.axis.take(part, axis=1), parts.extent.take(part, axis=1)
    radius, length, is_flat = extent[0], extent[1], extent[2] > 0
    offset = origin - parts.start.take(part, axis=1)
    along, climb = dot(offset, axis), dot(ray, axis)
    offset -= along * axis
    across = ray - climb * axis
    square = dot(across, across)
    nearest = -dot(offset, across) / square
    closest = offset + nearest * across
    radius *= radius
    inside = radius - dot(closest, closest)
    side: Floats = nearest - np.sqrt(inside / square)
    height = along + side * climb
    is_miss = ~((inside > 0) & (side > 0) & (height >= 0) & (height <= length))
    side[is_miss] = np.inf
    if is_flat.any():
        end = (np.where(climb > 0, np.float32(0), length) - along) / climb
        offset += end * across
        on_end = is_flat & (dot(offset, offset) <= radius) & (end > 0)
        np.copyto(side, end, where=on_end & (end < side))
    return side


def _rotate_about_y(vectors: Floats, turn: Floats) -> Floats:
    """Vectors in the axes of boxes; ``turn`` is their (cos, sin, -)."""
    c, s = turn[0], turn[1]
    out = np.empty_like(vectors)
    out[0] = c * vectors[0] - s * vectors[2]
    out[1] = vectors[1]
    out[2] = s * vectors[0] + c * vectors[2]
    return out


def _boxes(parts: PrimitiveParts, part: Ints, origin: Floats, ray: Floats) -> Floats:
    turn, half = parts.axis.take(part, axis=1), parts.extent.take(part, axis=1)
    offset = _rotate_about_y(parts.start.take(part, axis=1) - origin, turn)
    inverse = 1 / _rotate_about_y(ray, turn)
    middle, reach = offset * inverse, np.abs(half * inverse)
    entry: Floats = (middle - reach).max(axis=0)
    leave: Floats = (middle + reach).min(axis=0)
    return np.where((entry <= leave) & (entry > 0), entry, np.float32(np.inf))


def surface_normals(parts: PrimitiveParts, part: Int[np.ndarray, " n"], point: Float32[np.ndarray, "3 n"]) -> Floats:
    """The outward unit normals of parts, in any order, at points on their surfaces."""
    offset = point - parts.start.take(part, axis=1)
    axis, extent = parts.axis.take(part, axis=1), parts.extent.take(part, axis=1)
    is_tube: Bool[np.ndarray, " n"] = (part >= parts.num_spheres) & (part < parts.num_spheres + parts.num_tubes)
    height = np.where(is_tube, dot(offset, axis), np.float32(0))
    normal: Floats = offset - height * axis * is_tube
    normal /= extent[0]
    at_end = is_tube & (extent[2] > 0) & ((height < 2e-5) | (height > extent[1] - 2e-5))
    if at_end.any():
        normal[:, at_end] = axis[:, at_end] * np.where(height[at_end] > 0.5 * extent[1, at_end], 1, -1)
    boxes = np.flatnonzero(part >= parts.num_spheres + parts.num_tubes)
    if boxes.size:
        normal[:, boxes] = _box_normals(
            offset.take(boxes, axis=1), axis.take(boxes, axis=1), extent.take(boxes, axis=1)
        )
    return normal


def _box_normals(offset: Floats, turn: Floats, half: Floats) -> Floats:
    relative = _rotate_about_y(offset, turn) / half
    face = np.abs(relative).argmax(axis=0)
    sign = np.sign(relative[face, np.arange(face.shape[0])])
    c, s = turn[0], turn[1]
    zero = np.zeros_like(c)
    columns = np.stack([[c, zero, -s], [zero, zero + 1, zero], [s, zero, c]])
    normal: Floats = columns[face, :, np.arange(face.shape[0])].T * sign
    return normal
