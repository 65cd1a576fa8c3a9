"""Forward kinematics, held against a joint-by-joint loop and rigid-body invariants."""

import random

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from numpy.typing import NDArray

from modalities.geometry.body import BONES, JOINT_NAMES, PARENTS, all_joints, euler_matrices, forward_kinematics
from modalities.scenes.actions import ACTIONS, sample_body_pose

REST = np.broadcast_to(np.eye(3), (23, 3, 3))


def rotations(seed: int, num: int) -> NDArray[np.float64]:
    """Draw rotations."""
    return euler_matrices(np.random.default_rng(seed).uniform(-3, 3, (num, 3)))


def test_euler_matrices_are_the_product_of_three_turns() -> None:
    x, y, z = 0.3, -1.1, 2.0
    turn_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    turn_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    turn_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    np.testing.assert_allclose(euler_matrices(np.array([x, y, z])), turn_z @ turn_y @ turn_x, atol=1e-12)


def test_joints_are_those_of_a_loop_over_the_tree() -> None:
    orient, pose, betas = rotations(1, 1)[0], rotations(2, 23), np.array([1.0, 0.5, -1.0] + [0.0] * 7)
    rest = all_joints(np.eye(3), REST, betas)
    turns, places = [orient], [np.zeros(3)]
    for joint in range(1, 25):
        parent = PARENTS[joint]
        places.append(places[parent] + turns[parent] @ (rest[joint] - rest[parent]))
        turns.append(turns[parent] @ pose[joint - 1] if joint < 24 else turns[parent])
    np.testing.assert_allclose(all_joints(orient, pose, betas), places, atol=1e-12)


def test_a_batch_gives_each_what_it_would_get_alone() -> None:
    orient, pose = rotations(3, 6).reshape(2, 3, 3, 3), rotations(4, 6 * 23).reshape(2, 3, 23, 3, 3)
    betas = np.random.default_rng(5).normal(size=(2, 3, 10))
    joints = forward_kinematics(orient, pose, betas)
    assert joints.shape == (2, 3, 17, 3)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(joints[i, j], forward_kinematics(orient[i, j], pose[i, j], betas[i, j]), atol=1e-12)


def test_bones_keep_their_lengths_in_every_pose() -> None:
    def lengths(joints: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([np.linalg.norm(joints[a] - joints[b]) for a, b in enumerate(PARENTS) if b >= 0])

    rest = all_joints(np.eye(3), REST, np.zeros(10))
    posed = all_joints(rotations(6, 1)[0], rotations(7, 23), np.zeros(10))
    np.testing.assert_allclose(lengths(posed), lengths(rest), atol=1e-12)


def test_the_rest_pose_is_an_upright_t_with_the_left_on_positive_x() -> None:
    joints = dict(zip(JOINT_NAMES, forward_kinematics(np.eye(3), REST, np.zeros(10)), strict=True))
    assert joints["head"][1] > joints["neck"][1] > joints["thorax"][1] > joints["spine"][1] > 0
    assert joints["left wrist"][0] > 0.6
    assert joints["right wrist"][0] < -0.6
    assert joints["left ankle"][1] < joints["left knee"][1] < joints["left hip"][1] < 0
    assert 1.5 < joints["head"][1] - joints["left ankle"][1] < 1.8


def test_the_first_beta_scales_height_by_five_percent() -> None:
    tall = np.eye(10)[0]
    usual = forward_kinematics(np.eye(3), REST, np.zeros(10))
    np.testing.assert_allclose(forward_kinematics(np.eye(3), REST, tall), 1.05 * usual, atol=1e-12)


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_look_as_they_are_called(action: str) -> None:
    for seed in range(10):
        pose = sample_body_pose(random.Random(seed), action)
        joints = dict(zip(JOINT_NAMES, forward_kinematics(np.eye(3), pose, np.zeros(10)), strict=True))
        is_up = {s: joints[f"{s} wrist"][1] > joints["thorax"][1] + 0.15 for s in ("left", "right")}
        assert is_up["left"] == (action in ("raising the left arm", "raising both arms"))
        assert is_up["right"] == (action in ("raising the right arm", "raising both arms"))
        if action == "sitting":
            assert joints["left knee"][2] > 0.3
            assert joints["right knee"][2] > 0.3
        if action == "bending over":
            assert joints["head"][2] > 0.25


def test_bones_name_joints_of_the_tree() -> None:
    assert all(0 <= a < 25 and 0 <= b < 25 and radius > 0 for a, b, radius, _ in BONES)


def test_wrong_shapes_are_refused() -> None:
    # Where jaxtyping checks shapes, it is first to refuse them.
    with pytest.raises((ValueError, TypeCheckError), match=r"Expected global_orient|Type-check error"):
        forward_kinematics(np.eye(3), REST[:20], np.zeros(10))
