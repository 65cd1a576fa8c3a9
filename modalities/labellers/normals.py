"""Surface normals from a depth map and the camera's angle of view."""

import math

import numpy as np
from jaxtyping import Float32


def normals_from_depth(depth: Float32[np.ndarray, "h w"], *, fov: float) -> Float32[np.ndarray, "h w 3"]:
    """The unit normals of the surface that a pinhole camera sees: x right, y up, z towards the viewer.

    Each pixel is a point of space; the normal is the cross product of the differences to its neighbors, central inside
    the picture and one-sided at its border. Where depth is missing (not finite or not above 0) at the pixel or at one
    of these neighbors, the normal is zero, which means missing. Across a jump of depth the normal is that of the
    surface that would join both sides.

    Args:
        depth: Metres along the optical axis, which passes the picture's centre.
        fov: Angle of view across the longer side, in degrees.
    """
    height, width = depth.shape
    focal = 0.5 * max(height, width) / math.tan(math.radians(fov) / 2)
    valid = np.isfinite(depth) & (depth > 0)
    meters = np.where(valid, depth, np.nan).astype(np.float64)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = -(np.arange(height) + 0.5 - height / 2) / focal
    points = np.stack([meters * x[None, :], meters * y[:, None], -meters], axis=-1)
    # Right and up span the surface; their cross product faces the camera where the surface does.
    right, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(right, -down)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    is_known = np.isfinite(length) & (length > 0) & valid[..., None]
    found: Float32[np.ndarray, "h w 3"] = np.divide(normals, length, out=np.zeros_like(normals), where=is_known).astype(
        np.float32
    )
    return found
