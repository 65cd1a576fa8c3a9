"""Captions in varied words from what the maps say about a tile."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from fourm_earth.climate import CLIMATES, climate_word

OCEAN, LAND, LAKE = 0, 1, 2
"""Classes of the map of land and water."""


@dataclass(frozen=True, kw_only=True)
class TileFacts:
    """What a caption may say."""

    latitude: float
    land_share: float
    lake_share: float
    mean_elevation: float
    """Metres, over land."""
    highest: float
    """Metres."""
    mean_slope: float
    """Degrees, over land."""
    annual_temperature: float
    """Degrees Celsius, over the tile."""
    annual_rain: float
    """Millimetres, over the tile."""
    climate: str
    """The commonest class on land; empty without land."""
    sea_side: str
    """Side on which most of the ocean lies: north, east, south, west, or none."""
    country: str
    """Country of the nearest town; empty where none is near."""


def relief_word(facts: TileFacts) -> str:
    """The word for the ground: how high it is, and how steep."""
    if facts.highest > 2500 or facts.mean_slope > 1.2:
        return "mountains"
    if facts.mean_elevation > 900:
        return "high plateau" if facts.mean_slope < 0.5 else "highlands"
    if facts.mean_slope > 0.4:
        return "hills"
    return "lowlands" if facts.mean_elevation < 250 else "plains"


def sea_side(surface: UInt8[np.ndarray, "h w"]) -> str:
    """The side towards which the ocean's centre of gravity lies from the tile's middle; empty without ocean."""
    rows, columns = np.nonzero(surface == OCEAN)
    if not rows.size or rows.size > 0.9 * surface.size:
        return ""
    down = rows.mean() / (surface.shape[0] - 1) - 0.5
    right = columns.mean() / (surface.shape[1] - 1) - 0.5
    if max(abs(down), abs(right)) < 0.06:
        return ""
    if abs(down) > abs(right):
        return "south" if down > 0 else "north"
    return "east" if right > 0 else "west"


def commonest_climate(classes: UInt8[np.ndarray, "h w"]) -> str:
    """The name of the commonest class that is not water; empty where all is water."""
    counts = np.bincount(classes.ravel(), minlength=len(CLIMATES))[1:]
    return CLIMATES[int(counts.argmax()) + 1] if counts.any() else ""


def caption(facts: TileFacts, rng: np.random.Generator) -> str:
    """One or two sentences; ``rng`` draws the words and what is left out."""
    ground, climate = relief_word(facts), climate_word(facts.climate)
    kind = _pick(
        rng, f"{climate} {ground}", f"{ground} with a {climate} climate", f"{_temperature_word(facts)} {ground}"
    )
    where = f" in {facts.country}" if facts.country and rng.random() < 0.6 else ""
    opening = _pick(rng, "", "a satellite view of ", "an aerial map of ")
    first = opening + kind + where + _water_words(facts, rng)
    extra = _pick(rng, "", _rain_words(facts), _height_words(facts))
    return first + (f". {extra}" if extra else "") + "."


def _water_words(facts: TileFacts, rng: np.random.Generator) -> str:
    if facts.land_share < 0.3:
        return _pick(rng, " among open sea", ", islands and coast in a wide ocean")
    if facts.sea_side:
        side = facts.sea_side
        return _pick(rng, f", with the sea to the {side}", f" on a coast that faces {side}", f", ocean in the {side}")
    if facts.lake_share > 0.02:
        return _pick(rng, " with lakes", " around large lakes")
    return ""


def _rain_words(facts: TileFacts) -> str:
    limits = ((250, "almost no rain falls"), (600, "little rain falls"), (1500, "rain is moderate"))
    return next((words for limit, words in limits if facts.annual_rain < limit), "it rains a lot")


def _height_words(facts: TileFacts) -> str:
    return f"the land rises to {max(100, round(facts.highest / 100) * 100)} metres"


def _temperature_word(facts: TileFacts) -> str:
    limits = ((0, "freezing"), (8, "cold"), (16, "mild"), (23, "warm"))
    return next((word for limit, word in limits if facts.annual_temperature < limit), "hot")


def _pick(rng: np.random.Generator, *choices: str) -> str:
    return choices[int(rng.integers(len(choices)))]
