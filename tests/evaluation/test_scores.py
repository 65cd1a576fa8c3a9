import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.route import MaskedTokens, Route, TokenizerRoundTrip
from evaluation.scores import Score, normalized_score, read_scores, write_scores
from modalities.errors import DataError

SCORE = Score(
    arm="fourm_7",
    seed=1,
    route=Route(source="rgb", via=("normals",), target="depth"),
    metric="rmse",
    metric_title="RMSE",
    value=0.8,
    unit="m",
    higher_is_better=False,
    chance=0.9,
    upper_bound=0.4,
    num_samples=3,
    samples=(0.5, 0.25, 1.0),
)


def test_scores_come_back_from_their_file(tmp_path: Path) -> None:
    other = replace(
        SCORE, arm="", seed=None, route=TokenizerRoundTrip(target="depth"), chance=None, upper_bound=None, samples=()
    )
    write_scores(tmp_path / "scores.json", [SCORE, other])
    assert read_scores(tmp_path / "scores.json") == [SCORE, other]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_a_script_finds_the_route_and_its_parts_in_the_file(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.json", [SCORE, replace(SCORE, route=MaskedTokens(target="depth"))])
    chain, masked = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert (chain["route"], chain["source"], chain["via"], chain["target"]) == (
        "rgb->normals->depth",
        "rgb",
        ["normals"],
        "depth",
    )
    assert (masked["route"], masked["source"], masked["via"], masked["target"]) == ("masked", None, [], "depth")


def test_a_tracker_gets_a_name_without_special_characters() -> None:
    assert SCORE.tracking_name == "rgb-to-normals-to-depth/depth/rmse"
    assert replace(SCORE, route=MaskedTokens(target="depth")).tracking_name == "masked/depth/rmse"


def test_a_value_that_is_not_finite_is_stored_as_null_and_read_as_nan(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.json", [replace(SCORE, value=math.nan, chance=math.inf)])
    (found,) = read_scores(tmp_path / "scores.json")
    assert math.isnan(found.value)
    assert found.chance is None
    assert "NaN" not in (tmp_path / "scores.json").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("{", "cannot be read as JSON"),
        ("[]", "does not hold a list of scores"),
        ('{"scores": [{"colour": 1}]}', "something that is not a score"),
        ('{"scores": [{"value": 1.0}]}', "incomplete score: 'route' is missing"),
        ('{"scores": [{"value": 1.0, "route": "masked", "target": "rgb"}]}', "incomplete score: .*metric"),
        ('{"scores": [{"value": 1.0, "route": "rgb->", "target": "rgb"}]}', "'rgb->' is not a route"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "scores.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_scores(path)
    assert str(path) in str(error.value)


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_scores(tmp_path / "file" / "scores.json", [SCORE])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("value", "chance", "upper_bound", "higher", "expected"),
    [
        (0.5, 0.0, 1.0, True, 0.5),
        (0.65, 0.9, 0.4, False, 0.5),
        (0.9, 0.9, 0.4, False, 0.0),
        (1.0, 0.9, 0.4, False, -0.2),
        (0.3, 0.9, 0.4, False, 1.2),
        (0.5, 1.0, 0.0, True, None),
        (0.5, 0.2, 0.2, True, None),
        (0.5, None, 0.2, True, None),
        (0.5, 0.1, None, True, None),
        (math.nan, 0.1, 0.2, True, None),
        (0.5, 0.1, math.inf, True, None),
    ],
)
def test_there_is_a_normalized_score_only_where_the_upper_bound_is_better_than_chance(
    value: float, chance: float | None, upper_bound: float | None, higher: bool, expected: float | None
) -> None:
    found = normalized_score(value, chance, upper_bound, higher_is_better=higher)
    assert found == (None if expected is None else pytest.approx(expected))
