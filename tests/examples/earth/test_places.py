"""The nearest town against the haversine formula over all towns."""

from math import asin, cos, radians, sin, sqrt

import numpy as np

from fourm_earth.packages import Town
from fourm_earth.places import FARTHEST, TownIndex


def _haversine(one: tuple[float, float], other: tuple[float, float]) -> float:
    (a, b), (c, d) = ([radians(x) for x in point] for point in (one, other))
    return 2 * 6371 * asin(sqrt(sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2))


def test_the_nearest_town_is_that_of_the_haversine_formula() -> None:
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(-60, 60, 3000), rng.uniform(-180, 180, 3000)], axis=1)
    towns = [Town(latitude=a, longitude=b, name=str(i), country="XX") for i, (a, b) in enumerate(places.tolist())]
    index = TownIndex(towns, {})
    far = 0
    for latitude, longitude in [
        (0.0, 179.95),
        *zip(rng.uniform(-60, 60, 100), rng.uniform(-180, 180, 100), strict=True),
    ]:
        distances = [_haversine((latitude, longitude), (town.latitude, town.longitude)) for town in towns]
        nearest = int(np.argmin(distances))
        found = index.nearest(float(latitude), float(longitude))
        far += found is None
        assert (found is None) == (distances[nearest] > FARTHEST)
        assert found is None or found.name == str(nearest)
    assert 0 < far < 100


def test_a_country_without_a_name_keeps_its_code() -> None:
    town = Town(latitude=0, longitude=0, name="here", country="XX")
    assert TownIndex([town], {}).country(town) == "XX"
    assert TownIndex([town], {"XX": "Nowhere"}).country(town) == "Nowhere"
