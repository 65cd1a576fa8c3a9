import math

import pytest

from evaluation.report.formats import (
    describe_tokens,
    format_duration,
    format_number,
    format_percent,
    format_signed,
    unit_suffix,
)
from modalities.metrics.base import FRACTION
from modalities.registry import default_registry


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, FRACTION, "50.0 %"),
        (0.8034, "m", "0.803"),
        (17.649, "deg", "17.6"),
        (123.4, "", "123"),
        (1.2e-5, "", "1.20e-05"),
        (None, "", "–"),
        (math.nan, FRACTION, "–"),
        (0.0, "m", "0"),
    ],
)
def test_a_number_is_shown_with_three_digits(value: float | None, unit: str, text: str) -> None:
    assert format_number(value, unit) == text


def test_a_difference_has_its_sign_and_shares_differ_in_percent_points() -> None:
    assert format_signed(-0.1, FRACTION) == "−10.0 pp"
    assert format_signed(0.25, "m") == "+0.250"


def test_a_fraction_is_whole_percent_and_a_dash_where_it_is_missing() -> None:
    assert [format_percent(value) for value in (0.504, -0.2, None, math.nan)] == ["50 %", "−20 %", "–", "–"]


def test_a_unit_is_left_out_where_the_number_or_the_title_shows_it() -> None:
    assert unit_suffix("RMSE", "m") == " m"
    assert unit_suffix("BLEU", FRACTION) == unit_suffix("PSNR", "") == unit_suffix("Cosine", "cosine") == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.34, "0.3 s"),
        (42.4, "42 s"),
        (90, "1 min 30 s"),
        (120, "2 min"),
        (553, "9 min 13 s"),
        (7260, "2 h 01 min"),
        (math.nan, "–"),
    ],
)
def test_a_duration_has_the_units_of_its_size(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("depth", "196 of 8,192"),
        ("imagebind_global", "16 of 8,192"),
        ("caption", "up to 256, text"),
        ("sam_instances", "up to 290, text, codes of 1,024"),
        ("t5_caption", "up to 77 vectors"),
    ],
)
def test_tokens_are_described_by_their_layout(name: str, text: str) -> None:
    assert describe_tokens(default_registry()[name]) == text
