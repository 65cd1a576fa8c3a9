"""The real grids lie on each other: a shift by one pixel in any direction makes land and heights agree less."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fourm_earth import packages
from fourm_earth.climate import CLIMATES, climate_classes
from fourm_earth.raster import bilinear, nearest, pixel_latitudes, pixel_longitudes

pytestmark = pytest.mark.network


def _shifts_agree_best_at_zero(map_of_land: NDArray[Any], land: NDArray[Any]) -> bool:
    shares = {
        (down, right): float((np.roll(map_of_land, (down, right), axis=(0, 1)) == land).mean())
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    }
    return max(shares, key=lambda shift: shares[shift]) == (0, 0)


def test_mask_heights_and_picture_have_one_coast() -> None:
    latitude, longitude = pixel_latitudes(np.arange(450, 2250)), pixel_longitudes(np.arange(5400))
    land = nearest(packages.read_surface(), latitude, longitude) == 1
    assert _shifts_agree_best_at_zero(bilinear(packages.read_elevation(), latitude, longitude) > 0.5, land)
    picture = packages.read_blue_marble().values[450:2250].astype(int)
    assert _shifts_agree_best_at_zero(picture[..., 2] <= picture[..., 0] + 8, land)


@pytest.mark.parametrize(
    ("latitude", "longitude", "climate"),
    [(41.9, 12.6, "Csa"), (51.5, -0.3, "Cfb"), (29.9, 31.2, "BWh"), (1.35, 103.8, "Af"), (55.7, 37.6, "Dfb")],
)
def test_cities_have_their_climate(latitude: float, longitude: float, climate: str) -> None:
    place = np.array([latitude]), np.array([longitude])
    temperature, rain = (
        np.stack([bilinear(month, *place) for month in months])
        for months in (packages.read_temperature(), packages.read_rain())
    )
    assert CLIMATES[int(climate_classes(temperature, rain)[0, 0])] == climate


def test_towns_have_countries_with_names() -> None:
    names = packages.read_country_names()
    towns = packages.read_towns()
    assert len(towns) > 100_000
    assert sum(town.country in names for town in towns) / len(towns) > 0.99
