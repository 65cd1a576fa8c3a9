"""Keypoints: the contract, mirrors, spelling, and the metric against plain counting."""

import math

import numpy as np
import pytest

from modalities.checks import check_value
from modalities.conformance.check import assert_conforms
from modalities.errors import DataError
from modalities.kinds.keypoints import Keypoints, match_keypoints
from modalities.layouts import Text
from modalities.spec import Crop
from modalities.tokenizer_specs import WordPiece

BODY = Keypoints(
    name="points",
    title="Points",
    layout=Text(max_tokens=64),
    tokenizer=WordPiece(),
    names=("nose", "left_hand", "right_hand"),
    edges=((0, 1), (0, 2)),
)
ONE = np.array([[[0.5, 0.1, 0.9], [0.25, 0.5, 0.8], [0.75, 0.5, 0.2]]], dtype=np.float32)
TWO = np.concatenate([ONE, ONE * np.array([0.5, 1, 1], np.float32) + np.array([0.1, 0.2, 0], np.float32)])


def test_it_conforms() -> None:
    assert_conforms(BODY, [ONE, TWO, ONE[:0]])


def test_a_mirror_swaps_left_and_right() -> None:
    mirrored = BODY.transform(ONE, Crop(left=0, top=0, width=1, height=1, flip=True))
    assert np.allclose(mirrored, [[[0.5, 0.1, 0.9], [0.25, 0.5, 0.2], [0.75, 0.5, 0.8]]])


def test_a_crop_moves_points_and_drops_who_is_outside() -> None:
    moved = BODY.transform(TWO, Crop(left=0.2, top=0.0, width=0.2, height=1.0))
    # Of the first thing the left hand is inside, at (0.25 - 0.2) / 0.2; of the second the nose and the left hand.
    assert len(moved) == 2
    assert moved[0, 1, 0] == pytest.approx(0.25)
    assert BODY.visible(moved).tolist() == [[False, True, False], [True, True, False]]
    assert len(BODY.transform(ONE, Crop(left=0.9, top=0.9, width=0.1, height=0.1))) == 0


def test_visible_points_are_spelled_and_read_back() -> None:
    text = BODY.serialize(TWO, np.random.default_rng(0))
    assert text.split()[:6] == ["v3=0", "v0=500", "v1=100", "v2=1", "v0=250", "v1=500"]
    parsed = BODY.parse(text)
    assert parsed.well_formed
    seen = BODY.visible(TWO)
    assert np.array_equal(parsed.value[..., 2] > 0, seen)
    assert np.allclose(parsed.value[seen][:, :2], TWO[seen][:, :2], atol=1e-3)


@pytest.mark.parametrize("text", ["v2=0 v0=1 v1=2", "v3=7 v0=1 v1=2", "v3=0 v0=1", "nothing"])
def test_texts_that_break_the_grammar_are_not_well_formed(text: str) -> None:
    parsed = BODY.parse(text)
    assert not parsed.well_formed
    assert len(parsed.value) == 0


def test_points_that_are_near_count() -> None:
    moved = TWO + np.array([0.03, 0, 0], np.float32)
    moved[1, 0, 0] += 0.1
    right = sum(
        math.dist(one[:2].tolist(), other[:2].tolist()) <= 0.05
        for thing, guess in zip(TWO, moved, strict=True)
        for one, other in zip(thing, guess, strict=True)
        if one[2] >= 0.5
    )
    assert match_keypoints(moved, TWO, 0.5) == (right, 4) == (3, 4)
    metric = BODY.metrics()
    metric.update([moved, ONE[:0]], [TWO, ONE])
    assert float(metric.compute()["pck"]) == pytest.approx(3 / 6)


def test_what_can_be_spelled_after_a_crop_is_all_that_counts() -> None:
    moved = BODY.transform(TWO, Crop(left=0.2, top=0.0, width=0.2, height=1.0))
    spelled = BODY.parse(BODY.serialize(moved, np.random.default_rng(0))).value
    metric = BODY.metrics()
    metric.update([spelled], [moved])
    assert float(metric.compute()["pck"]) == 1.0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ONE[:, :2], "a thing has 3 points, found 2"),
        (ONE * np.array([1, np.nan, 1], np.float32), "a number is not finite"),
        (ONE * np.array([640, 480, 1], np.float32), "file.json has points from 48 to 320, .*: divide pixels by"),
        ("a", "file.json does not hold points"),
    ],
)
def test_points_that_do_not_fit_are_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_value(BODY, value, "file.json")


def test_a_point_that_is_not_visible_may_lie_anywhere() -> None:
    hidden = ONE.copy()
    hidden[0, 2] = (640, 480, 0)
    np.testing.assert_array_equal(check_value(BODY, hidden, "file.json"), hidden)
    text = BODY.serialize(np.concatenate([hidden, ONE]), np.random.default_rng(0))
    assert [len(element.split()) for element in BODY.elements(text)] == [6, 6]
