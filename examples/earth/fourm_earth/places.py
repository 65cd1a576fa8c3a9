"""The nearest town to a point."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from fourm_earth.packages import Town

EARTH_RADIUS = 6371.0
"""In kilometres."""
FARTHEST = 150.0
"""Kilometres beyond which a town says nothing about a tile."""


class TownIndex:
    """Towns by position."""

    def __init__(self, towns: Sequence[Town], country_names: dict[str, str]) -> None:
        """Take the towns and the names of countries by code."""
        self._towns = list(towns)
        self._countries = country_names
        latitudes = np.array([town.latitude for town in towns])
        longitudes = np.array([town.longitude for town in towns])
        self._tree = cKDTree(unit_vectors(latitudes, longitudes))

    def nearest(self, latitude: float, longitude: float) -> Town | None:
        """The nearest town by great circle, or None where none is within `FARTHEST` kilometres."""
        point = unit_vectors(np.array([latitude]), np.array([longitude]))[0]
        chord, index = self._tree.query(point)
        return self._towns[int(index)] if chord_to_kilometers(float(chord)) <= FARTHEST else None

    def country(self, town: Town) -> str:
        """The name of a town's country; its code where there is no name."""
        return self._countries.get(town.country, town.country)


def unit_vectors(
    latitude: np.ndarray[tuple[int], np.dtype[np.float64]], longitude: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Points on the unit sphere (n, 3) of latitudes and longitudes in degrees."""
    phi, theta = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=1)


def chord_to_kilometers(chord: float) -> float:
    """Length along the Earth's surface of a chord of the unit sphere."""
    return 2 * EARTH_RADIUS * float(np.arcsin(min(chord / 2, 1.0)))
