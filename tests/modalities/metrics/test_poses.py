"""Metrics of people, and the geometry of poses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from modalities.geometry.body import forward_kinematics
from modalities.geometry.poses import Pose, body_pose_rows, camera_from_translation, nearest_rotations, rest_pose
from modalities.metrics.poses import human_pose_metrics, joint_distances, joint_error_terms, pck_terms, people_f1_terms

LEFT_ELBOW_AND_WRIST = (12, 13)


def turned(pose: Pose, joint: int, angle: float) -> Pose:
    """The pose with one joint of SMPL's tree turned about z."""
    body = pose.body_pose.copy()
    body[joint - 1] = Rotation.from_euler("z", angle).as_matrix()
    return replace(pose, body_pose=body)


def drawn(seed: int) -> Pose:
    rng = np.random.default_rng(seed)
    return replace(
        rest_pose(),
        box=(0.1, 0.1, 0.5, 0.9),
        global_orient=Rotation.random(rng=rng).as_matrix().astype(np.float32),
        body_pose=Rotation.from_rotvec(rng.normal(0, 0.3, (23, 3))).as_matrix().astype(np.float32),
        betas=rng.normal(0, 1, 10).astype(np.float32),
        camera=camera_from_translation(np.array([0.5, -0.2, -4.0])),
    )


def test_people_that_are_the_same_have_no_error() -> None:
    people = [drawn(0), replace(drawn(1), box=(0.5, 0.1, 0.9, 0.9))]
    assert pck_terms(people[::-1], people) == (32, 32)
    assert joint_error_terms(people[::-1], people)[0] == pytest.approx(0, abs=1e-3)
    assert people_f1_terms(people, people) == (4, 4)


def test_where_a_person_stands_does_not_matter_to_the_joints() -> None:
    pose = drawn(0)
    moved = replace(pose, camera=pose.camera + 1)
    assert joint_distances(moved, pose).max() == 0


def test_a_raised_arm_is_wrong_in_its_own_joints_only() -> None:
    pose = rest_pose()
    distances = joint_distances(turned(pose, 16, -1.3), pose)  # SMPL's joint 16 is the left shoulder.
    assert np.flatnonzero(distances > 1e-6).tolist() == list(LEFT_ELBOW_AND_WRIST)
    upper_arm = np.linalg.norm(pose.joints()[12] - pose.joints()[11])
    assert distances[12] == pytest.approx(2 * upper_arm * np.sin(1.3 / 2), rel=1e-5)
    assert pck_terms([turned(pose, 16, -1.3)], [pose]) == (14, 16)


def test_missed_people_are_wrong_and_count_as_a_t_pose() -> None:
    pose = drawn(2)
    assert pck_terms([], [pose]) == (0, 16)
    expected = 1000 * np.linalg.norm(rest_pose().joints() - pose.joints(), axis=1).sum()
    numerator, denominator = joint_error_terms([], [pose])
    assert numerator / denominator == pytest.approx(expected / 17, rel=1e-5)
    assert people_f1_terms([], [pose]) == (0, 1)


def test_a_person_elsewhere_is_no_match() -> None:
    pose = drawn(3)
    assert pck_terms([replace(pose, box=(0.6, 0.1, 0.9, 0.9))], [pose]) == (0, 16)


def test_people_are_matched_by_their_boxes() -> None:
    one, other = drawn(4), replace(drawn(5), box=(0.4, 0.1, 0.8, 0.9))
    assert pck_terms([other, one], [one, other]) == (32, 32)


def test_measures_without_people_say_so() -> None:
    found = {}
    for name, metric in human_pose_metrics().items():
        metric.update([()], [()])
        found[name] = float(metric.compute())
    assert np.isnan(found["pck"])
    assert np.isnan(found["joint_error"])
    assert found["people_f1"] == 1


def test_the_nearest_rotation_is_a_rotation_and_near() -> None:
    rng = np.random.default_rng(0)
    exact = Rotation.random(50, rng=rng).as_matrix()
    found = nearest_rotations(exact + rng.normal(0, 0.1, exact.shape))
    assert np.allclose(found @ found.swapaxes(1, 2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(found), 1, atol=1e-5)
    assert np.abs(found - exact).max() < 0.4
    assert np.allclose(nearest_rotations(exact), exact, atol=1e-6)
    assert np.allclose(nearest_rotations(-exact) @ nearest_rotations(-exact).swapaxes(1, 2), np.eye(3), atol=1e-5)


def test_matrices_of_rubbish_still_give_rotations() -> None:
    rubbish = np.stack([np.zeros((3, 3)), np.full((3, 3), np.nan), np.diag([1.0, 1.0, -1.0])])
    found = nearest_rotations(rubbish)
    assert np.allclose(np.linalg.det(found), 1, atol=1e-5)


def test_the_camera_tells_where_the_pelvis_is() -> None:
    pelvis = np.array([-1.7, 0.4, -6.0])
    pose = replace(rest_pose(), camera=camera_from_translation(pelvis))
    assert np.allclose(pose.translation, pelvis, atol=1e-5)
    assert pose.camera.min() > -1


def test_rows_are_the_entries_of_the_rotation_matrices() -> None:
    people = [drawn(6), drawn(7)]
    rows = body_pose_rows(people)
    assert rows.shape == (2, 207)
    assert body_pose_rows([]).shape == (0, 207)
    again = rows.reshape(2, 23, 3, 3)
    joints = forward_kinematics(people[1].global_orient, again[1], people[1].betas)
    assert np.array_equal(joints, people[1].joints())
