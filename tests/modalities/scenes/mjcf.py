"""Scenes for MuJoCo: an independent implementation of the same primitives, which tests hold ours against."""

import math
from xml.sax.saxutils import quoteattr

import mujoco
import numpy as np
from numpy.typing import NDArray

from modalities.scenes.layout import SceneGeometry
from modalities.scenes.room import Room
from modalities.scenes.world import Solid


def _geom(**attributes: str) -> str:
    return "<geom " + " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items()) + "/>"


def _numbers(*values: float) -> str:
    return " ".join(repr(float(value)) for value in values)


def _solid(solid: Solid) -> str:
    match solid.kind:
        case "sphere":
            return _geom(type="sphere", pos=_numbers(*solid.a), size=_numbers(solid.radius))
        case "box":
            quat = _numbers(math.cos(solid.yaw / 2), 0, math.sin(solid.yaw / 2), 0)
            return _geom(type="box", pos=_numbers(*solid.a), size=_numbers(*solid.half), quat=quat)
        case kind:
            return _geom(type=kind, fromto=_numbers(*solid.a, *solid.b), size=_numbers(solid.radius))


def _planes(room: Room) -> list[str]:
    planes = [_geom(type="plane", pos=_numbers(0, -room.camera.height, 0), zaxis="0 1 0", size="0 0 1")]
    if math.isfinite(room.ceiling):
        planes.append(_geom(type="plane", pos=_numbers(0, room.ceiling, 0), zaxis="0 -1 0", size="0 0 1"))
    for wall in room.walls:
        (nx, nz), d = wall.normal, wall.distance
        if math.isfinite(wall.top):
            half = 0.5 * (wall.top + room.camera.height)
            x_axis, y_axis = (-nz, 0.0, nx), (0.0, 1.0, 0.0)
            pose = {"pos": _numbers(nx * d, wall.top - half, nz * d), "xyaxes": _numbers(*x_axis, *y_axis)}
            planes.append(_geom(type="plane", size=_numbers(200, half, 1), **pose))
        else:
            planes.append(
                _geom(type="plane", pos=_numbers(nx * d, 0, nz * d), zaxis=_numbers(-nx, 0, -nz), size="0 0 1")
            )
    return planes


def load_model(geometry: SceneGeometry) -> tuple[mujoco.MjModel, mujoco.MjData, int]:
    """Return the scene as a model, its state, and how many of its first geoms are the room's planes."""
    planes = _planes(geometry.room)
    geoms = planes + [_solid(solid) for solid in geometry.solids]
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{''.join(geoms)}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data, len(planes)


def cast_rays(
    model: mujoco.MjModel, data: mujoco.MjData, rays: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Return z-depth (-1 for a miss), geom and unit normal of each ray (3, n) from the origin; a ray's z-depth is 1."""
    num = rays.shape[1]
    unit = rays.T.astype(np.float64)
    length = np.linalg.norm(unit, axis=1)
    unit /= length[:, None]
    geom, distance, normal = np.full(num, -1, np.int32), np.zeros(num), np.zeros((num, 3))
    flat, flat_normal = np.ascontiguousarray(unit).ravel(), normal.ravel()
    mujoco.mj_multiRay(model, data, np.zeros(3), flat, None, True, -1, geom, distance, flat_normal, num, 1e6)
    return np.where(geom >= 0, distance / length, -1.0), geom, flat_normal.reshape(num, 3)
