"""Ray casting: the nearest surface along each pixel's ray, and shadow tests."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.labels import CLASSES
from modalities.scenes.camera import Camera
from modalities.scenes.layout import SceneGeometry
from modalities.scenes.primitives import Floats, Ints, PrimitiveParts, dot, intersect, surface_normals
from modalities.scenes.room import Light, Room
from modalities.scenes.world import MAX_DEPTH

_SKY, _CEILING, _WALL, _RUG = (CLASSES.index(name) for name in ("sky", "ceiling", "wall", "rug"))


@dataclass(frozen=True, kw_only=True)
class RayHits:
    """One nearest surface per pixel, row by row, in the world frame."""

    depth: Floats
    """(n,) z-depth, meters; `MAX_DEPTH` in the sky, else not clipped."""
    point: Floats
    """(3, n) meters."""
    normal: Floats
    """(3, n) unit, towards the viewer's side."""
    label: NDArray[np.uint8]
    """(n,) class."""
    instance: NDArray[np.int32]
    """(n,) instance; 0 for stuff."""
    material: NDArray[np.int32]
    """(n,) material."""


def cast_rays(geometry: SceneGeometry, parts: PrimitiveParts, size: int) -> RayHits:
    """Find what each pixel of a square image sees."""
    camera = geometry.room.camera
    rays = camera.rays(size)
    depth, normal, label, material = _cast_room(geometry.room, rays)
    instance = np.zeros(depth.shape[0], np.int32)
    part, pixel = _visible_pairs(parts, camera, size)
    hit = intersect(parts, part, np.zeros((3, 1), np.float32), rays.take(pixel, axis=1))
    kept = np.flatnonzero(hit < depth[pixel])
    kept = kept[np.argsort(-hit[kept], kind="stable")]
    nearest_pair = np.full(depth.shape[0], -1)
    nearest_pair[pixel[kept]] = kept  # of several writes to one pixel the last, so the nearest, stays
    visible = np.flatnonzero(nearest_pair >= 0)
    nearest = nearest_pair[visible]
    depth[visible] = hit[nearest]
    point = depth * rays
    owner = part[nearest]
    normal[:, visible] = surface_normals(parts, owner, point.take(visible, axis=1))
    material[visible], instance[visible] = parts.material[owner], parts.instance[owner]
    names = np.zeros(1 + len(geometry.things) + len(geometry.figures), np.uint8)
    for thing in geometry.things:
        names[thing.instance] = CLASSES.index(thing.class_name)
    for figure in geometry.figures:
        names[figure.instance] = CLASSES.index("person")
    label[visible] = names[instance[visible]]
    return RayHits(depth=depth, point=point, normal=normal, label=label, instance=instance, material=material)


def _cast_room(room: Room, rays: Floats) -> tuple[Floats, Floats, NDArray[np.uint8], NDArray[np.int32]]:
    """Find depth, normal, class and material of the room alone; it is convex, so the nearest plane ahead is visible."""
    x, y, z = rays
    height = np.float32(room.camera.height)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = 1 / y
    looks_down = y < 0
    depth = np.where(looks_down, -height * slope, np.float32(room.ceiling) * slope)
    num = depth.shape[0]
    up = np.where(looks_down, np.float32(1), np.float32(-1))
    normal = np.zeros((3, num), np.float32)
    normal[1] = up
    ceiling = (_SKY, 0) if math.isinf(room.ceiling) else (_CEILING, room.ceiling_material)
    label = np.where(looks_down, np.uint8(CLASSES.index(room.ground)), np.uint8(ceiling[0]))
    material = np.where(looks_down, np.int32(1), np.int32(ceiling[1]))
    for wall in room.walls:
        toward = np.float32(wall.normal[0]) * x + np.float32(wall.normal[1]) * z
        np.maximum(toward, np.float32(1e-6), out=toward)
        wall_depth = np.float32(wall.distance) / toward
        visible = np.flatnonzero((wall_depth < depth) & (wall_depth * y < np.float32(wall.top)))
        depth[visible] = wall_depth[visible]
        normal[:, visible] = np.array([[-wall.normal[0]], [0.0], [-wall.normal[1]]], np.float32)
        label[visible], material[visible] = _WALL, wall.material
    sky = np.flatnonzero(~(depth < np.float32(1e4)))
    if sky.size:
        depth[sky] = MAX_DEPTH
        normal[:, sky] = room.camera.rotation.T[:, 2:].astype(np.float32)
        label[sky], material[sky] = _SKY, 0
    if room.rug is not None:
        _add_rug(room, rays, depth, label, material)
    return depth, normal, label, material


def _add_rug(room: Room, rays: Floats, depth: Floats, label: NDArray[np.uint8], material: NDArray[np.int32]) -> None:
    rug = room.rug
    assert rug is not None
    floor = np.flatnonzero(material == 1)
    x = rays[0, floor] * depth[floor] - np.float32(rug.center[0])
    z = rays[2, floor] * depth[floor] - np.float32(rug.center[1])
    c, s = np.float32(math.cos(rug.yaw)), np.float32(math.sin(rug.yaw))
    on_rug = floor[(np.abs(c * x - s * z) < rug.half[0]) & (np.abs(s * x + c * z) < rug.half[1])]
    label[on_rug], material[on_rug] = _RUG, rug.material


def _visible_pairs(parts: PrimitiveParts, camera: Camera, size: int) -> tuple[Ints, Ints]:
    """List all pairs of a part and a pixel within the part's bounding rectangle, part by part."""
    low, high = _rectangles(parts, camera)
    first = np.clip(np.ceil(low * size - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.floor(high * size - 0.5) + 1, 0, size).astype(np.int64)
    width, height = np.maximum(last - first, 0)
    count = width * height
    part = np.repeat(np.arange(parts.num), count)
    within = np.arange(part.shape[0]) - (np.cumsum(count) - count)[part]
    row, column = np.divmod(within, width[part])
    row += first[1][part]
    column += first[0][part]
    return part, row * size + column


def _rectangles(parts: PrimitiveParts, camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bound each part in the image: (2, m) lower and upper x right, y down, 0..1 inside."""
    s, t = parts.num_spheres, parts.num_spheres + parts.num_tubes
    ends = parts.start[:, s:t] + parts.axis[:, s:t] * parts.extent[1, s:t]
    centers = camera.rotation @ np.concatenate([parts.start[:, :t], ends], axis=1)
    radii = np.concatenate([parts.extent[0, :t], parts.extent[0, s:t]])
    low, high = _sphere_rectangles(centers, radii)
    low[:, s:t] = np.minimum(low[:, s:t], low[:, t:])
    high[:, s:t] = np.maximum(high[:, s:t], high[:, t:])
    turn, half = parts.axis[:, t:], parts.extent[:, t:]
    signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], np.float64).T[:, :, None]
    x, y, z = signs * half[:, None]
    corners = np.stack([turn[0] * x + turn[1] * z, y, turn[0] * z - turn[1] * x]) + parts.start[:, None, t:]
    projected = np.einsum("ij,jkm->ikm", camera.rotation, corners)
    plane = projected[:2] / np.maximum(-projected[2], 0.05)
    low, high = np.concatenate([low[:, :t], plane.min(axis=1)], 1), np.concatenate([high[:, :t], plane.max(axis=1)], 1)
    low, high = camera.focal * low, camera.focal * high
    return np.stack([low[0], -high[1]]) + 0.5, np.stack([high[0], -low[1]]) + 0.5


def _sphere_rectangles(
    centers: NDArray[np.float64], radii: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bound spheres on the plane at distance 1, x right, y up; exact, by the tangents from the camera."""
    plane, ahead = centers[:2], -centers[2]
    angle = np.arctan2(plane, ahead)
    spread = np.arcsin(np.minimum(radii / np.hypot(plane, ahead), 0.999))
    limit = 0.5 * math.pi - 0.02
    return np.tan(np.clip(angle - spread, -limit, limit)), np.tan(np.clip(angle + spread, -limit, limit))


def is_lit_by(light: Light, parts: PrimitiveParts, point: Floats, toward: Floats, normal: Floats) -> NDArray[np.bool_]:
    """Points that a light reaches: (n,), False where a part is in between. The room itself casts no shadow.

    ``toward`` leads from each point to the light.
    """
    lit = np.ones(point.shape[1], np.bool_)
    part, pixel = _shadow_pairs(parts, point, toward)
    if part.size:
        ray = toward.take(pixel, axis=1)
        origin = point.take(pixel, axis=1)
        origin += np.float32(2e-3) * normal.take(pixel, axis=1)
        lit[pixel[intersect(parts, part, origin, ray) < 1]] = False
    return lit


def _shadow_pairs(parts: PrimitiveParts, point: Floats, toward: Floats) -> tuple[Ints, Ints]:
    """List pairs of a part and a point for which the part's bounding sphere is on the way to the light, by part."""
    if not parts.num:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    square, slope, own = dot(toward, toward), dot(point, toward), dot(point, point)
    middle = np.stack([body[1] for body in parts.bodies], axis=1)
    reach = np.array([body[2] for body in parts.bodies], np.float32)
    near = _ray_meets_sphere(middle, reach, point, toward, square, slope, own)
    pairs: list[tuple[Ints, Ints]] = []
    for (members, _, _), row in zip(parts.bodies, near, strict=True):
        pixel = np.flatnonzero(row)
        if members.size == 1 or not pixel.size:
            pairs.append((np.repeat(members, pixel.size), pixel))
            continue
        some = (point.take(pixel, axis=1), toward.take(pixel, axis=1), square[pixel], slope[pixel], own[pixel])
        close = np.flatnonzero(_ray_meets_sphere(parts.center[:, members], parts.bound[members], *some))
        member, column = np.divmod(close, pixel.size)
        pairs.append((members[member], pixel[column]))
    part, pixel = (np.concatenate(column) for column in zip(*pairs, strict=True))
    order = np.argsort(part.astype(np.int16), kind="stable")
    return part[order], pixel[order]


def _ray_meets_sphere(
    center: Floats, bound: Floats, point: Floats, toward: Floats, square: Floats, slope: Floats, own: Floats
) -> NDArray[np.bool_]:
    """Tell, (m, n), whether the ray from each of n points meets each of m spheres, or starts inside."""
    ahead = center.T @ toward
    ahead -= slope
    np.maximum(ahead, 0, out=ahead)
    ahead *= ahead
    ahead /= square
    away = np.float32(-2) * center.T @ point
    away += own
    away -= ahead
    near: NDArray[np.bool_] = away < (bound * bound - dot(center, center))[:, None]
    return near
