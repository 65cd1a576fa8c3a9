"""Georeferencing: grids of every layout give the same value at the same place."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from fourm_earth.raster import (
    PIXELS_PER_DEGREE,
    Raster,
    bilinear,
    cell_raster,
    flipped_raster,
    nearest,
    pixel_latitudes,
    pixel_longitudes,
)


def _height(latitude: NDArray[Any], longitude: NDArray[Any]) -> NDArray[Any]:
    """A function of the place that is linear between the points of any grid, apart from 180 degrees."""
    height: NDArray[Any] = 3 * latitude[:, None] - 2 * longitude[None, :]
    return height


def _cells(step: float) -> Raster:
    latitude = np.arange(90 - step / 2, -90, -step)
    return cell_raster(_height(latitude, np.arange(-180 + step / 2, 180, step)))


def _from_the_south(step: float) -> Raster:
    latitude, longitude = np.arange(-90, 90 + step / 2, step), np.arange(-180, 180 + step / 2, step)
    return flipped_raster(_height(latitude, longitude), south=-90, west=-180, step=step)


def _beyond_the_edges(step: float) -> Raster:
    latitude, longitude = np.arange(90 + step, -90 - 1.5 * step, -step), np.arange(-180 - step, 180 + 1.5 * step, step)
    return Raster(values=_height(latitude, longitude), north=90 + step, west=-180 - step, step=step)


@pytest.mark.parametrize("grid", [_cells(2.0), _cells(0.5), _from_the_south(0.75), _beyond_the_edges(0.5)])
def test_grids_of_all_layouts_agree_with_the_place(grid: Raster) -> None:
    latitude, longitude = np.linspace(59, -59, 41), np.linspace(-170, 170, 33)
    assert np.allclose(bilinear(grid, latitude, longitude), _height(latitude, longitude))


def test_bilinear_values_are_those_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(18, 36))
    grid = cell_raster(values)
    points = np.linspace(-80, 80, 23), np.linspace(-170, 170, 19)
    north_up = RegularGridInterpolator((np.arange(-85, 90, 10), np.arange(-175, 180, 10)), values[::-1])
    expected = north_up(np.stack(np.meshgrid(*points, indexing="ij"), axis=-1))
    assert np.allclose(bilinear(grid, *points), expected)


def test_the_nearest_value_is_that_of_the_cell() -> None:
    values = np.arange(18 * 36).reshape(18, 36)
    grid = cell_raster(values)
    latitude, longitude = np.array([89.9, 80.1, 79.9, -89.9]), np.array([-179.9, -170.1, -169.9, 179.9])
    expected = values[np.ix_([0, 0, 1, 17], [0, 0, 1, 35])]
    assert (nearest(grid, latitude, longitude) == expected).all()


def test_values_at_180_degrees_lie_between_both_sides() -> None:
    values = np.zeros((18, 36))
    values[:, 0], values[:, -1] = 10, 30
    found = bilinear(cell_raster(values), np.array([5.0]), np.array([-180.0, 180.0, 177.5, -177.5]))
    assert np.allclose(found, [[20, 20, 25, 15]])


def test_channels_are_kept_by_the_nearest_value() -> None:
    values = np.random.default_rng(0).integers(0, 256, (18, 36, 3))
    assert nearest(cell_raster(values), np.array([42.0]), np.array([7.0, 8.0])).shape == (1, 2, 3)


def test_pixels_of_the_picture_are_cells_of_the_globe() -> None:
    picture = cell_raster(np.zeros((180 * PIXELS_PER_DEGREE, 360 * PIXELS_PER_DEGREE)))
    assert np.allclose(picture.row(pixel_latitudes(np.arange(2700))), np.arange(2700))
    assert np.allclose(picture.column(pixel_longitudes(np.arange(5400))), np.arange(5400))
