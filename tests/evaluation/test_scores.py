import math
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.scores import Score, normalized_score, read_scores, route_name, write_scores
from modalities.errors import DataError

SCORE = Score(
    arm="fourm_7",
    seed=1,
    route=route_name("rgb", "depth"),
    target="depth",
    metric="rmse",
    metric_title="RMSE",
    value=0.8,
    unit="m",
    higher_is_better=False,
    chance=0.9,
    ceiling=0.4,
    num_samples=3,
    samples=(0.5, 0.25, 1.0),
)


def test_scores_come_back_from_their_file(tmp_path: Path) -> None:
    other = replace(SCORE, arm="", seed=None, route="tokenizer", chance=None, ceiling=None, samples=())
    write_scores(tmp_path / "scores.json", [SCORE, other])
    assert read_scores(tmp_path / "scores.json") == [SCORE, other]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


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
        ('{"scores": [{"value": 1.0}]}', "incomplete score"),
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
    ("value", "chance", "ceiling", "higher", "expected"),
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
def test_the_share_of_the_way_is_told_only_where_there_is_a_way(
    value: float, chance: float | None, ceiling: float | None, higher: bool, expected: float | None
) -> None:
    found = normalized_score(value, chance, ceiling, higher_is_better=higher)
    assert found == (None if expected is None else pytest.approx(expected))
