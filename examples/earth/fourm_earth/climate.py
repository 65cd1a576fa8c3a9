"""Climate classes from monthly temperature and rain, by Koeppen's rules.

Source: Peel, Finlayson, McMahon 2007 (doi:10.5194/hess-11-1633-2007), table 1. Where both a dry summer and a dry winter
hold, the season with less rain decides, as in Beck et al. 2018 (doi:10.1038/sdata.2018.214).
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

CLIMATES = (
    "water",
    "Af",
    "Am",
    "Aw",
    "BWh",
    "BWk",
    "BSh",
    "BSk",
    "Csa",
    "Csb",
    "Csc",
    "Cwa",
    "Cwb",
    "Cwc",
    "Cfa",
    "Cfb",
    "Cfc",
    "Dsa",
    "Dsb",
    "Dsc",
    "Dsd",
    "Dwa",
    "Dwb",
    "Dwc",
    "Dwd",
    "Dfa",
    "Dfb",
    "Dfc",
    "Dfd",
    "ET",
    "EF",
)
"""Names of the classes by index; 0 is for ocean and lakes."""

CLIMATE_WORDS = {
    "A": "tropical",
    "BW": "desert",
    "BS": "semi-arid",
    "Cs": "Mediterranean",
    "C": "temperate",
    "D": "continental",
    "ET": "tundra",
    "EF": "ice cap",
}
"""Words for the classes whose names begin with a key; of several keys the longest counts."""

_APRIL_TO_SEPTEMBER = slice(3, 9)


def climate_classes(
    temperature: Float[np.ndarray, "12 ..."], rain: Float[np.ndarray, "12 ..."]
) -> UInt8[np.ndarray, "..."]:
    """Classes of places on land, as indices of `CLIMATES`.

    Args:
        temperature: Mean of each month, in degrees Celsius.
        rain: Sum of each month, in millimetres.
    """
    coldest, hottest = temperature.min(axis=0), temperature.max(axis=0)
    classes = np.zeros(coldest.shape, np.uint8)
    is_arid, is_desert = _aridity(temperature, rain)
    is_polar = (hottest < 10) & ~is_arid
    is_tropical = (coldest >= 18) & ~is_arid
    is_temperate = ~is_arid & ~is_polar & ~is_tropical & (coldest > 0)
    is_continental = ~is_arid & ~is_polar & ~is_tropical & (coldest <= 0)

    is_hot = temperature.mean(axis=0) >= 18
    arid = np.where(is_desert, np.where(is_hot, _index("BWh"), _index("BWk")), 0)
    arid = np.where(is_desert, arid, np.where(is_hot, _index("BSh"), _index("BSk")))
    for where, found in (
        (is_arid, arid),
        (is_polar, np.where(hottest > 0, _index("ET"), _index("EF"))),
        (is_tropical, _tropical(rain)),
        (is_temperate, _index("Csa") + 3 * _dry_season(temperature, rain) + np.minimum(_warmth(temperature), 2)),
        (is_continental, _index("Dsa") + 4 * _dry_season(temperature, rain) + _warmth(temperature)),
    ):
        classes[where] = found[where]
    return classes


def climate_word(name: str) -> str:
    """The word for a class of `CLIMATES`."""
    key = max((key for key in CLIMATE_WORDS if name.startswith(key)), key=len)
    return CLIMATE_WORDS[key]


def _index(name: str) -> int:
    return CLIMATES.index(name)


def _summer_is_april_to_september(temperature: Float[np.ndarray, "12 ..."]) -> Bool[np.ndarray, "..."]:
    """True where the six months from April on are the warmer ones."""
    total = temperature.sum(axis=0)
    warm: Bool[np.ndarray, ...] = 2 * temperature[_APRIL_TO_SEPTEMBER].sum(axis=0) >= total
    return warm


def _summer_and_winter(
    temperature: Float[np.ndarray, "12 ..."], rain: Float[np.ndarray, "12 ..."]
) -> tuple[Float[np.ndarray, "6 ..."], Float[np.ndarray, "6 ..."]]:
    """Rain of the months of the warmer and of the colder half-year."""
    north = rain[_APRIL_TO_SEPTEMBER]
    south = np.concatenate([rain[9:], rain[:3]])
    is_north = _summer_is_april_to_september(temperature)
    return np.where(is_north, north, south), np.where(is_north, south, north)


def _aridity(
    temperature: Float[np.ndarray, "12 ..."], rain: Float[np.ndarray, "12 ..."]
) -> tuple[Bool[np.ndarray, "..."], Bool[np.ndarray, "..."]]:
    """Where rain is below the limit of dry climates, and where below that of deserts."""
    summer, winter = _summer_and_winter(temperature, rain)
    annual = rain.sum(axis=0)
    limit = 2 * temperature.mean(axis=0) + np.where(
        winter.sum(axis=0) > 0.7 * annual, 0, np.where(summer.sum(axis=0) > 0.7 * annual, 28, 14)
    )
    return annual < 10 * limit, annual < 5 * limit


def _tropical(rain: Float[np.ndarray, "12 ..."]) -> UInt8[np.ndarray, "..."]:
    """Rainforest, monsoon or savannah."""
    driest, annual = rain.min(axis=0), rain.sum(axis=0)
    is_monsoon = driest >= 100 - annual / 25
    found = np.where(driest >= 60, _index("Af"), np.where(is_monsoon, _index("Am"), _index("Aw")))
    return found.astype(np.uint8)


def _dry_season(
    temperature: Float[np.ndarray, "12 ..."], rain: Float[np.ndarray, "12 ..."]
) -> UInt8[np.ndarray, "..."]:
    """0 for a dry summer, 1 for a dry winter, 2 for none."""
    summer, winter = _summer_and_winter(temperature, rain)
    dry_summer = (summer.min(axis=0) < 40) & (summer.min(axis=0) < winter.max(axis=0) / 3)
    dry_winter = winter.min(axis=0) < summer.max(axis=0) / 10
    winter_is_wetter = winter.sum(axis=0) > summer.sum(axis=0)
    both = dry_summer & dry_winter
    dry_summer &= ~both | winter_is_wetter
    found = np.where(dry_summer, 0, np.where(dry_winter, 1, 2))
    return found.astype(np.uint8)


def _warmth(temperature: Float[np.ndarray, "12 ..."]) -> UInt8[np.ndarray, "..."]:
    """0 for a hot summer, 1 for a warm one, 2 for a cold one, 3 for a cold one after a very cold winter."""
    is_hot = temperature.max(axis=0) >= 22
    is_warm = (temperature >= 10).sum(axis=0) >= 4
    is_severe = temperature.min(axis=0) < -38
    found = np.where(is_hot, 0, np.where(is_warm, 1, np.where(is_severe, 3, 2)))
    return found.astype(np.uint8)
