"""Metrics of sets of people: share of right joints, joint error, and agreement on who is there."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from modalities.geometry.body import JOINT_NAMES, forward_kinematics
from modalities.geometry.boxes import box_iou, boxes_to_array
from modalities.geometry.poses import Pose, nearest_rotations, rest_pose
from modalities.metrics.base import RatioOfSums
from modalities.metrics.detection import match_by_iou
from modalities.metrics.reconstruction import absolute_error_terms
from modalities.metrics.text import SampleRatioOfSums
from modalities.spec import MetricInfo

PCK_TORSO_FRACTION = 0.2
"""A joint is right within this share of the target's torso, from pelvis to thorax."""

_PELVIS, _THORAX = JOINT_NAMES.index("pelvis"), JOINT_NAMES.index("thorax")
_JOINTS_WITHOUT_PELVIS = [index for index in range(len(JOINT_NAMES)) if index != _PELVIS]

People = Sequence[Pose]


def people_box_iou(prediction: People, target: People) -> Float[np.ndarray, "n m"]:
    """Return the intersection over union of the people's boxes."""
    return box_iou(boxes_to_array([pose.box for pose in prediction]), boxes_to_array([pose.box for pose in target]))


def match_people(prediction: People, target: People) -> list[tuple[Pose | None, Pose]]:
    """Return each target person with the predicted one whose box fits best, one to one; None where none overlaps."""
    shared = people_box_iou(prediction, target)
    partner = {
        int(column): prediction[int(row)]
        for row, column in zip(*linear_sum_assignment(shared, maximize=True), strict=True)
        if shared[row, column] > 0
    }
    return [(partner.get(index), person) for index, person in enumerate(target)]


def joint_distances(prediction: Pose, target: Pose) -> Float[np.ndarray, "17"]:
    """Return how far each joint is off, in metres, with the pelvises laid on each other."""
    one, other = (joints - joints[_PELVIS] for joints in (prediction.joints(), target.joints()))
    return np.asarray(np.linalg.norm(one - other, axis=-1))


def pck_terms(prediction: People, target: People) -> tuple[float, float]:
    """Return the joints within `TORSO_SHARE` of the torso, pelvis aside, and all; those of missed people are wrong.

    People that are not there are not held against a prediction here: `people_f1` does that.
    """
    right = 0
    for guess, person in match_people(prediction, target):
        if guess is not None:
            joints = person.joints()
            max_distance = PCK_TORSO_FRACTION * np.linalg.norm(joints[_THORAX] - joints[_PELVIS])
            right += int((joint_distances(guess, person)[_JOINTS_WITHOUT_PELVIS] <= max_distance).sum())
    return float(right), float(len(_JOINTS_WITHOUT_PELVIS) * len(target))


def joint_error_terms(prediction: People, target: People) -> tuple[float, float]:
    """Return the sum of joint errors in millimetres and the count of joints, for MPJPE (Ionescu et al. 2014).

    A missed person counts as if a T pose facing the camera had been predicted, so that leaving people out never pays.
    """
    rest = rest_pose()
    total = sum(
        float(joint_distances(guess or rest, person).sum()) for guess, person in match_people(prediction, target)
    )
    return 1000 * total, float(len(JOINT_NAMES) * len(target))


def people_f1_terms(prediction: People, target: People) -> tuple[float, float]:
    """Return twice the people whose boxes overlap by half or more, and the count of people on both sides."""
    rows, _ = match_by_iou(people_box_iou(prediction, target))
    return 2.0 * len(rows), float(len(prediction) + len(target))


def pck(prediction: People, target: People) -> float:
    """Return the share of right joints in one sample; 0 where nobody is there to be found."""
    numerator, denominator = pck_terms(prediction, target)
    return numerator / denominator if denominator else 0.0


def human_pose_metrics() -> dict[str, MetricInfo]:
    """Return fresh metrics of people: PCK, mean joint error, F1 of people. The first two are NaN where nobody is."""
    return {
        "pck": MetricInfo(metric=SampleRatioOfSums(pck_terms), unit="share", higher_is_better=True),
        "joint_error": MetricInfo(metric=SampleRatioOfSums(joint_error_terms), unit="mm", higher_is_better=False),
        "people_f1": MetricInfo(
            metric=SampleRatioOfSums(people_f1_terms, empty=1.0), unit="share", higher_is_better=True
        ),
    }


def body_joint_error_terms(decoded: Float[Tensor, "k 207"], prepared: Float[Tensor, "k 207"]) -> tuple[Tensor, Tensor]:
    """Return the sum of joint errors in millimetres, and the count of joints, of body poses on a body of mean shape."""
    one, other = (_pelvis_centered_joints(rows) for rows in (decoded, prepared))
    return torch.from_numpy(1000 * np.linalg.norm(one - other, axis=-1)).sum(), torch.tensor(one.size // 3)


def _pelvis_centered_joints(rows: Float[Tensor, "k 207"]) -> Float[np.ndarray, "k 17 3"]:
    """The joints of bodies that face the camera, each matrix made the nearest rotation, pelvises on each other."""
    bodies = nearest_rotations(rows.double().numpy().reshape(-1, 23, 3, 3))
    upright = np.tile(np.eye(3, dtype=np.float32), (len(bodies), 1, 1))
    joints = forward_kinematics(upright, bodies, np.zeros((len(bodies), 10), dtype=np.float32))
    return np.asarray(joints - joints[:, _PELVIS : _PELVIS + 1])


def body_pose_reconstruction_metrics() -> dict[str, MetricInfo]:
    """Return fresh metrics of body poses as rows: mean joint error, mean absolute error of the matrices' entries."""
    return {
        "joint_error": MetricInfo(
            metric=RatioOfSums("joint_error", body_joint_error_terms), unit="mm", higher_is_better=False
        ),
        "entry_error": MetricInfo(
            metric=RatioOfSums("entry_error", absolute_error_terms),
            unit="rotation matrix entries",
            higher_is_better=False,
        ),
    }
