"""Lines: the contract, clipping against dense sampling, and matching."""

import numpy as np
import pytest

from fourm_experts.lines import crop_lines, line_f1, num_matches
from fourm_experts.modalities import POSE_33, STRAIGHT_LINES
from modalities import Crop, assert_conforms

LINES = np.array([[0.1, 0.1, 0.5, 0.6], [0.2, 0.3, 0.9, 0.35], [0.5, 0.2, 0.5, 0.9]], np.float32)


def test_lines_and_points_conform() -> None:
    rng = np.random.default_rng(0)
    assert_conforms(STRAIGHT_LINES, [LINES, LINES[:1], LINES[:0]])
    points = rng.uniform(0, 1, (2, 33, 3)).astype(np.float32)
    assert_conforms(POSE_33, [points, points[:1], points[:0]])


def test_the_part_of_a_line_inside_a_crop_is_that_of_its_points() -> None:
    rng = np.random.default_rng(0)
    lines = rng.uniform(0, 1, (200, 4)).astype(np.float32)
    crop = Crop(left=0.2, top=0.3, width=0.5, height=0.4)
    steps = np.linspace(0, 1, 4001)[:, None]
    inside_ends = []
    for line in lines.astype(np.float64):
        points = line[:2] + steps * (line[2:] - line[:2])
        points = (points - [0.2, 0.3]) / [0.5, 0.4]
        inside = points[((points >= 0) & (points <= 1)).all(1)]
        if len(inside) > 20:
            ends = sorted((inside[0].tolist(), inside[-1].tolist()), key=lambda end: (end[1], end[0]))
            inside_ends.append([*ends[0], *ends[1]])
    found = crop_lines(lines, crop)
    long = found[np.hypot(found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]) > 0.02]
    assert len(inside_ends) > 50
    for expected in inside_ends:
        assert np.abs(long - expected).max(1).min() < 0.01


def test_a_mirror_keeps_the_upper_end_first() -> None:
    mirrored = crop_lines(LINES, Crop(left=0, top=0, width=1, height=1, flip=True))
    assert np.allclose(mirrored[0], [0.9, 0.1, 0.5, 0.6])
    assert (mirrored[:, 1] <= mirrored[:, 3]).all()


def test_each_line_matches_once() -> None:
    near = LINES + np.float32(0.02)
    assert num_matches(near, LINES) == 3
    assert num_matches(near[:, [2, 3, 0, 1]], LINES) == 3
    assert num_matches(np.repeat(near[:1], 3, axis=0), LINES) == 1
    assert line_f1(near[:2], LINES) == pytest.approx(4 / 5)
    assert line_f1(LINES[:0], LINES[:0]) == 1.0


def test_points_are_ordered_as_blazepose_orders_them() -> None:
    places = {"nose": 0, "left_eye_inner": 1, "right_eye_outer": 6, "left_ear": 7, "right_mouth": 10}
    places |= {"left_shoulder": 11, "right_wrist": 16, "left_pinky": 17, "right_thumb": 22, "left_hip": 23}
    places |= {"right_knee": 26, "left_ankle": 27, "right_heel": 30, "left_foot": 31, "right_foot": 32}
    assert {name: POSE_33.names.index(name) for name in places} == places
    assert len(set(POSE_33.names)) == 33
