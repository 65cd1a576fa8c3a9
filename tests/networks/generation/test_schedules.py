"""Schedules against the published sampler's, and what must hold of any."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalities.errors import ConfigError
from networks.generation.schedules import Temperature, TemperatureSchedule, TokenSchedule, tokens_per_step

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "schedules.json"


def _reference() -> dict[str, dict[str, Any]]:
    if not REFERENCE.exists():
        pytest.skip("../shared/reference is not here")
    content: dict[str, dict[str, Any]] = json.loads(REFERENCE.read_text())
    return content


def test_tokens_per_step_are_the_published_ones() -> None:
    for name, expected in _reference()["tokens_per_step"].items():
        schedule, steps, tokens = name.split(":")
        assert tokens_per_step(TokenSchedule(schedule), int(steps), int(tokens)) == expected


def test_temperatures_are_the_published_ones() -> None:
    for name, expected in _reference()["temperature_per_step"].items():
        *words, steps, tokens = name.split(":")
        counts = tokens_per_step(TokenSchedule.linear, int(steps), int(tokens))
        assert Temperature.parse(":".join(words)).steps(counts) == pytest.approx(expected, abs=1e-12)


def test_known_schedules() -> None:
    assert tokens_per_step(TokenSchedule.cosine, 8, 784) == [30, 85, 127, 150, 150, 127, 85, 30]
    assert tokens_per_step(TokenSchedule.linear, 12, 256) == [22] * 4 + [21] * 8
    assert Temperature.parse("linear:2").steps([4, 4, 2]) == pytest.approx([2.0, 1.2, 0.4])
    falling = Temperature.parse("onex:6.0:0.5:0.5").steps([4] * 49)
    assert falling[:3] == pytest.approx([5.8878, 4.6876, 3.9674], abs=1e-4)
    assert Temperature.parse("0.3").steps([1, 2]) == [0.3, 0.3]


@given(st.sampled_from(TokenSchedule), st.integers(1, 400), st.data())
def test_every_token_is_decided_once(schedule: TokenSchedule, num_tokens: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, num_tokens))
    counts = tokens_per_step(schedule, steps, num_tokens)
    assert len(counts) == steps
    assert sum(counts) == num_tokens
    assert min(counts) >= 0


@given(st.floats(0, 10), st.floats(0, 1), st.floats(0.01, 3), st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_a_falling_temperature_falls_to_its_floor(start: float, share: float, power: float, tokens: list[int]) -> None:
    floor = start * share
    falling = Temperature(schedule=TemperatureSchedule.onex, start=start, floor=floor, power=power).steps(tokens)
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(floor, abs=1e-9)
    assert falling[0] <= start + 1e-9


@pytest.mark.parametrize("text", ["0.7", "linear:2", "onex:6:0.5:0.25"])
def test_a_temperature_is_written_as_it_is_read(text: str) -> None:
    assert str(Temperature.parse(text)) == text


@pytest.mark.parametrize("text", ["warm", "linear", "linear:1:2", "onex:1:2:3:4", "cosine:1", ""])
def test_what_is_no_temperature_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a temperature: expected a number, linear:START"):
        Temperature.parse(text)


def test_temperatures_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="start and floor from 0"):
        Temperature(start=-1.0)
    with pytest.raises(ConfigError, match="cannot fall from"):
        Temperature.parse("onex:0.2:0.5")


@pytest.mark.parametrize("steps", [0, 5])
def test_steps_must_fit_the_tokens(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"from 1 to 4 steps, got {steps}"):
        tokens_per_step(TokenSchedule.cosine, steps, 4)
