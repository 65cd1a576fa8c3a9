"""Captions say what the facts are, in words that a generator draws."""

from dataclasses import replace

import numpy as np
import pytest

from fourm_earth.captions import TileFacts, caption, commonest_climate, relief_word, sea_side
from fourm_earth.climate import CLIMATES

FACTS = TileFacts(
    latitude=40,
    land_share=0.8,
    lake_share=0,
    mean_elevation=1200,
    highest=3100,
    mean_slope=1.5,
    annual_temperature=11,
    annual_rain=450,
    climate="Csa",
    sea_side="south",
    country="Spain",
)


def test_captions_vary_in_words_and_not_in_facts() -> None:
    found = {caption(FACTS, np.random.default_rng(seed)) for seed in range(200)}
    assert len(found) > 20
    assert all("mountains" in text and "south" in text and "north" not in text for text in found)
    assert any("Spain" in text for text in found)
    assert any("little rain" in text for text in found)
    assert caption(FACTS, np.random.default_rng(3)) == caption(FACTS, np.random.default_rng(3))


@pytest.mark.parametrize(
    ("mean", "highest", "slope", "word"),
    [
        (1200, 3100, 1.5, "mountains"),
        (1200, 1500, 0.2, "high plateau"),
        (1200, 1900, 0.8, "highlands"),
        (300, 600, 0.6, "hills"),
        (100, 200, 0.1, "lowlands"),
        (400, 600, 0.1, "plains"),
    ],
)
def test_the_ground_has_a_word(mean: float, highest: float, slope: float, word: str) -> None:
    assert relief_word(replace(FACTS, mean_elevation=mean, highest=highest, mean_slope=slope)) == word


@pytest.mark.parametrize("side", ["north", "east", "south", "west"])
def test_the_side_of_the_sea_is_where_the_ocean_lies(side: str) -> None:
    surface = np.ones((64, 64), np.uint8)
    surface[:20] = 0
    turns = {"north": 0, "west": 1, "south": 2, "east": 3}[side]
    surface = np.rot90(surface, turns)
    assert sea_side(surface) == side


@pytest.mark.parametrize("level", [0, 1])
def test_a_tile_of_one_kind_has_no_side(level: int) -> None:
    assert sea_side(np.full((64, 64), level, np.uint8)) == ""


def test_the_commonest_climate_leaves_water_out() -> None:
    classes = np.zeros((8, 8), np.uint8)
    classes[0] = CLIMATES.index("Cfb")
    assert commonest_climate(classes) == "Cfb"
    assert commonest_climate(np.zeros((8, 8), np.uint8)) == ""
