"""Climate classes of cities by their published normals, and of random years against plain loops."""

import numpy as np
import pytest

from fourm_earth.climate import CLIMATES, climate_classes, climate_word

# Monthly means and sums, rounded, of national weather services (1961-1990 or 1991-2020).
CITIES = {
    "Singapore": (
        "Af",
        [27, 27, 28, 28, 29, 28, 28, 28, 28, 28, 27, 26],
        [235, 113, 171, 154, 171, 131, 155, 149, 103, 131, 250, 332],
    ),
    "Miami": (
        "Am",
        [20, 21, 23, 25, 27, 28, 29, 29, 28, 27, 24, 21],
        [46, 55, 61, 86, 161, 267, 188, 243, 251, 194, 90, 62],
    ),
    "Darwin": (
        "Aw",
        [28, 28, 28, 28, 27, 25, 25, 26, 28, 29, 29, 29],
        [471, 412, 315, 106, 22, 1, 0, 1, 14, 69, 143, 249],
    ),
    "Cairo": ("BWh", [14, 15, 18, 22, 25, 28, 28, 28, 27, 24, 19, 15], [5, 4, 4, 1, 1, 0, 0, 0, 0, 1, 4, 6]),
    "Denver": ("BSk", [0, 1, 5, 9, 14, 20, 24, 23, 18, 11, 4, 0], [10, 10, 23, 43, 55, 49, 55, 41, 34, 25, 16, 9]),
    "Rome": ("Csa", [8, 8, 11, 13, 18, 22, 25, 25, 21, 17, 12, 9], [70, 69, 60, 69, 50, 29, 19, 38, 77, 106, 118, 84]),
    "Perth": (
        "Csa",
        [25, 25, 23, 20, 16, 14, 13, 13, 15, 17, 20, 23],
        [15, 9, 19, 36, 86, 127, 147, 121, 79, 39, 23, 10],
    ),
    "Hong Kong": (
        "Cwa",
        [16, 17, 19, 23, 26, 28, 29, 29, 28, 26, 22, 18],
        [33, 39, 75, 153, 290, 492, 386, 454, 321, 120, 39, 29],
    ),
    "London": ("Cfb", [5, 5, 7, 9, 13, 16, 18, 18, 15, 12, 8, 5], [55, 41, 42, 44, 49, 45, 45, 50, 49, 69, 59, 55]),
    "Moscow": ("Dfb", [-6, -6, -1, 7, 14, 17, 19, 17, 12, 6, -1, -5], [53, 44, 39, 37, 61, 78, 84, 78, 66, 70, 52, 51]),
    "Yakutsk": (
        "Dfd",
        [-39, -34, -20, -5, 8, 16, 19, 15, 6, -8, -28, -38],
        [9, 8, 7, 8, 20, 32, 39, 37, 31, 18, 16, 10],
    ),
    "Reykjavik": ("Cfc", [1, 1, 1, 3, 7, 10, 12, 11, 8, 5, 2, 1], [84, 85, 81, 57, 53, 43, 51, 66, 90, 84, 84, 98]),
    "Vostok": (
        "EF",
        [-32, -44, -58, -65, -66, -65, -67, -68, -66, -57, -43, -32],
        [1, 1, 2, 2, 3, 3, 2, 2, 2, 2, 1, 1],
    ),
    "Nuuk": ("ET", [-8, -8, -8, -4, 1, 4, 7, 6, 4, -1, -4, -6], [39, 47, 50, 46, 55, 62, 82, 89, 88, 70, 74, 54]),
}


@pytest.mark.parametrize("city", CITIES)
def test_a_city_has_its_published_class(city: str) -> None:
    expected, temperature, rain = CITIES[city]
    assert CLIMATES[int(climate_classes(np.array(temperature, float), np.array(rain, float)))] == expected


def _reference(temperature: list[float], rain: list[float]) -> str:
    """Table 1 of Peel et al. 2007 as one reads it."""
    mean, annual = sum(temperature) / 12, sum(rain)
    hot, cold, warm_months = max(temperature), min(temperature), sum(t >= 10 for t in temperature)
    april, october = [3, 4, 5, 6, 7, 8], [9, 10, 11, 0, 1, 2]
    summer = april if sum(temperature[m] for m in april) >= sum(temperature[m] for m in october) else october
    winter = october if summer is april else april
    wet_summer, wet_winter = max(rain[m] for m in summer), max(rain[m] for m in winter)
    dry_summer, dry_winter = min(rain[m] for m in summer), min(rain[m] for m in winter)
    in_summer, in_winter = sum(rain[m] for m in summer), sum(rain[m] for m in winter)
    limit = 2 * mean
    if not in_winter > 0.7 * annual:
        limit += 28 if in_summer > 0.7 * annual else 14
    if annual < 10 * limit:
        return ("BW" if annual < 5 * limit else "BS") + ("h" if mean >= 18 else "k")
    if hot < 10:
        return "ET" if hot > 0 else "EF"
    if cold >= 18:
        if min(rain) >= 60:
            return "Af"
        return "Am" if min(rain) >= 100 - annual / 25 else "Aw"
    is_s, is_w = dry_summer < 40 and dry_summer < wet_winter / 3, dry_winter < wet_summer / 10
    if is_s and is_w:
        is_s = in_winter > in_summer
    season = "s" if is_s else "w" if is_w else "f"
    if hot >= 22:
        warmth = "a"
    elif warm_months >= 4:
        warmth = "b"
    else:
        warmth = "d" if cold < -38 else "c"
    return ("C" if cold > 0 else "D") + season + warmth


def test_random_years_have_the_class_of_the_published_table() -> None:
    rng = np.random.default_rng(0)
    months = np.cos((np.arange(12) - rng.choice([0, 6], (2000, 1))) / 6 * np.pi)
    temperature = rng.uniform(-35, 30, (2000, 1)) - rng.uniform(0, 25, (2000, 1)) * months
    rain = rng.uniform(0, 120, (2000, 1)) * rng.uniform(0, 1, (2000, 12)) ** rng.uniform(0.2, 4, (2000, 1))
    found = [CLIMATES[index] for index in climate_classes(temperature.T, rain.T)]
    expected = [_reference(list(t), list(r)) for t, r in zip(temperature, rain, strict=True)]
    assert found == expected
    assert len(set(found)) > 20


def test_every_class_on_land_has_a_word() -> None:
    assert climate_word("BWh") == "desert"
    assert climate_word("Csb") == "Mediterranean"
    assert all(climate_word(name) for name in CLIMATES[1:])
