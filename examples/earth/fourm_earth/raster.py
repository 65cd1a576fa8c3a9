"""Global grids in degrees, and their values at latitudes and longitudes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

PIXELS_PER_DEGREE = 15
"""Resolution of the tiles: that of the Blue Marble mosaic, 5400 x 2700 pixels."""


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Values at evenly spaced points of the globe; rows go from north to south, columns from west to east."""

    values: NDArray[Any]
    """(rows, columns) or (rows, columns, channels)."""
    north: float
    """Latitude of the points of the first row, in degrees."""
    west: float
    """Longitude of the points of the first column, in degrees."""
    step: float
    """Distance of neighbouring points along both axes, in degrees."""

    def row(self, latitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Fractional rows of latitudes, cut to the grid."""
        row: Float[np.ndarray, " n"] = np.clip((self.north - latitude) / self.step, 0, len(self.values) - 1)
        return row

    def column(self, longitude: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Fractional columns of longitudes, in turns around the globe; from 0 up to the number of columns a turn."""
        column: Float[np.ndarray, " m"] = (longitude - self.west) % 360.0 / self.step
        return column


def cell_raster(values: NDArray[Any]) -> Raster:
    """A grid of cells that cover the globe; its points are the centres of the cells, so the first is half a cell in."""
    step = 180 / len(values)
    return Raster(values=values, north=90 - step / 2, west=-180 + step / 2, step=step)


def flipped_raster(values: NDArray[Any], *, south: float, west: float, step: float) -> Raster:
    """A grid whose rows are stored from south to north."""
    return Raster(values=values[::-1], north=south + (len(values) - 1) * step, west=west, step=step)


def pixel_latitudes(rows: NDArray[np.integer]) -> Float[np.ndarray, " n"]:
    """Latitudes of the centres of rows of tile pixels, row 0 being the northernmost of the globe."""
    return 90 - (rows + 0.5) / PIXELS_PER_DEGREE


def pixel_longitudes(columns: NDArray[np.integer]) -> Float[np.ndarray, " m"]:
    """Longitudes of the centres of columns of tile pixels, column 0 being the first east of 180 degrees west."""
    return -180 + (columns + 0.5) / PIXELS_PER_DEGREE


def nearest(
    raster: Raster, latitude: Float[np.ndarray, " n"], longitude: Float[np.ndarray, " m"]
) -> Shaped[np.ndarray, "n m"]:
    """The value of the nearest point for each pair of a latitude and a longitude."""
    rows = np.rint(raster.row(latitude)).astype(int)
    columns = np.rint(raster.column(longitude)).astype(int) % _columns_per_turn(raster)
    found: Shaped[np.ndarray, "n m"] = raster.values[rows[:, None], columns[None, :]]
    return found


def bilinear(
    raster: Raster, latitude: Float[np.ndarray, " n"], longitude: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n m"]:
    """The bilinear mean of the four points around each pair of a latitude and a longitude."""
    row, column = raster.row(latitude), raster.column(longitude)
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    down, right = (row - top)[:, None], (column - left)[None, :]
    bottom = np.minimum(top + 1, len(raster.values) - 1)
    turn = _columns_per_turn(raster)
    values, ahead = raster.values, (left + 1) % turn
    left = left % turn
    upper = values[top[:, None], left[None]] * (1 - right) + values[top[:, None], ahead[None]] * right
    lower = values[bottom[:, None], left[None]] * (1 - right) + values[bottom[:, None], ahead[None]] * right
    found: Float[np.ndarray, "n m"] = upper * (1 - down) + lower * down
    return found


def _columns_per_turn(raster: Raster) -> int:
    """Columns that go once around the globe; a grid may repeat some beyond them."""
    return min(round(360 / raster.step), int(raster.values.shape[1]))
