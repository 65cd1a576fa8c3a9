"""Slope, normals and hillshade of planes whose answers are known, and of random heights against numpy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fourm_earth import terrain

STEP = 0.1


def _plane(east: float, north: float, latitude: NDArray[Any]) -> NDArray[Any]:
    """Heights of a plane that rises by shares ``east`` and ``north``, with a margin of one point."""
    rows = np.arange(-1, len(latitude) + 1)
    columns = np.arange(-1, 6)
    up = -rows[:, None] * STEP * terrain.METERS_PER_DEGREE * north
    # Around one latitude a column is as wide as there.
    width = STEP * terrain.METERS_PER_DEGREE * np.cos(np.radians(latitude.mean()))
    heights: NDArray[Any] = up + columns[None] * width * east
    return heights


@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (0.1, 0.0), (0.0, -0.2), (0.05, 0.05)])
def test_a_plane_has_its_own_slope_and_normal(east: float, north: float) -> None:
    latitude = np.array([45.0, 45.0, 45.0])
    found = terrain.gradients(_plane(east, north, latitude), latitude, STEP)
    assert np.allclose(found[0], east)
    assert np.allclose(found[1], north)
    assert np.allclose(terrain.slope(*found), np.degrees(np.arctan(np.sqrt(east**2 + north**2))))
    normal = terrain.normals(*found, relief=1.0)
    # The normal is at right angles with both directions in the plane.
    assert np.allclose(normal @ [1, 0, east], 0)
    assert np.allclose(normal @ [0, 1, north], 0)
    assert np.allclose(np.linalg.norm(normal, axis=-1), 1)
    assert (normal[..., 2] > 0).all()


def test_gradients_are_those_of_numpy() -> None:
    heights = np.random.default_rng(0).normal(size=(8, 9)) * 1000
    latitude = np.linspace(30, 29.5, 6)
    east, north = terrain.gradients(heights, latitude, STEP)
    found: Any = np.gradient(heights, STEP * terrain.METERS_PER_DEGREE)
    down, right = found
    assert np.allclose(north, -down[1:-1, 1:-1])
    assert np.allclose(east, right[1:-1, 1:-1] / np.cos(np.radians(latitude))[:, None])


def test_flat_ground_reflects_the_sine_of_the_suns_altitude() -> None:
    assert np.allclose(terrain.hillshade(np.array([[[0.0, 0.0, 1.0]]])), np.sin(np.radians(terrain.SUN_ALTITUDE)))


def test_slopes_to_the_north_west_are_lit_and_those_to_the_south_east_are_dark() -> None:
    flat, towards, away = (
        terrain.hillshade(terrain.normals(np.full((1, 1), east), np.full((1, 1), -east), relief=1.0))[0, 0]
        for east in (0.0, 0.5, -0.5)
    )
    assert towards > flat > away
