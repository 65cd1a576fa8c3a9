"""Slope, surface normals and hillshade of a grid of heights."""

import numpy as np
from jaxtyping import Float

METERS_PER_DEGREE = 111_195.0
"""Length of a degree of latitude on a sphere of 6,371 km."""

RELIEF = 20.0
"""Factor by which heights are exaggerated for normals and hillshade: at 7 km a pixel half of the land is less steep
than 0.2 degrees, and the steepest has 11."""

SUN_AZIMUTH, SUN_ALTITUDE = 315.0, 45.0
"""Direction of the light of a hillshade, in degrees clockwise from north and above the horizon, as maps have it."""


def gradients(
    heights: Float[np.ndarray, "h2 w2"], latitude: Float[np.ndarray, " h"], step: float
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Rise to the east and to the north, in metres a metre, by central differences.

    Args:
        heights: Metres, with one row and one column more on each side than what is returned.
        latitude: Latitudes of the rows that are returned, in degrees.
        step: Distance of neighbouring points, in degrees.
    """
    distance = 2 * step * METERS_PER_DEGREE
    east = (heights[1:-1, 2:] - heights[1:-1, :-2]) / (distance * np.cos(np.radians(latitude)))[:, None]
    north = (heights[:-2, 1:-1] - heights[2:, 1:-1]) / distance
    return east, north


def slope(east: Float[np.ndarray, "h w"], north: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Angle of the ground with the horizontal, in degrees."""
    angle: Float[np.ndarray, "h w"] = np.degrees(np.arctan(np.hypot(east, north)))
    return angle


def normals(
    east: Float[np.ndarray, "h w"], north: Float[np.ndarray, "h w"], relief: float = RELIEF
) -> Float[np.ndarray, "h w 3"]:
    """Unit vectors that point out of the ground: x east, y north, z up, of heights times ``relief``."""
    vectors = np.stack([-relief * east, -relief * north, np.ones_like(east)], axis=-1)
    found: Float[np.ndarray, "h w 3"] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found


def hillshade(normal: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Share of the light from `SUN_AZIMUTH` and `SUN_ALTITUDE` that the ground reflects (Lambert), from 0 to 1."""
    azimuth, altitude = np.radians(SUN_AZIMUTH), np.radians(SUN_ALTITUDE)
    light = np.array([np.sin(azimuth) * np.cos(altitude), np.cos(azimuth) * np.cos(altitude), np.sin(altitude)])
    reflected: Float[np.ndarray, "h w"] = np.clip(normal @ light, 0, 1)
    return reflected
