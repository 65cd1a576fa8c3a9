"""Metrics of sets of people: share of right joints, joint error, and agreement on who is there."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.geometry.body import JOINT_NAMES, forward_kinematics
from modalities.geometry.boxes import box_iou, boxes_to_array
from modalities.geometry.poses import Pose, nearest_rotations, rest_pose
from modalities.metrics.base import FRACTION, RatioOfSums, SampleRatioOfSums, collect
from modalities.metrics.detection import match_by_iou
from modalities.metrics.reconstruction import ReconstructionError

PCK_TORSO_FRACTION = 0.2
"""A joint is right within this share of the target's torso, from pelvis to thorax."""

_PELVIS, _THORAX = JOINT_NAMES.index("pelvis"), JOINT_NAMES.index("thorax")
_JOINTS_WITHOUT_PELVIS = [index for index in range(len(JOINT_NAMES)) if index != _PELVIS]

People = Sequence[Pose]


def people_box_iou(prediction: People, target: People) -> Float[np.ndarray, "n m"]:
    """The intersection over union of the people's boxes."""
    return box_iou(boxes_to_array([pose.box for pose in prediction]), boxes_to_array([pose.box for pose in target]))


def match_people(prediction: People, target: People) -> list[tuple[Pose | None, Pose]]:
    """Each target person with the predicted one whose box fits best, one to one; None where none overlaps."""
    shared = people_box_iou(prediction, target)
    partner = {
        int(column): prediction[int(row)]
        for row, column in zip(*linear_sum_assignment(shared, maximize=True), strict=True)
        if shared[row, column] > 0
    }
    return [(partner.get(index), person) for index, person in enumerate(target)]


def joint_distances(prediction: Pose, target: Pose) -> Float[np.ndarray, "17"]:
    """The distance of each joint from its target, in metres, with the pelvises laid on each other."""
    one, other = (joints - joints[_PELVIS] for joints in (prediction.joints(), target.joints()))
    return np.asarray(np.linalg.norm(one - other, axis=-1))


def pck_terms(prediction: People, target: People) -> tuple[float, float]:
    """The joints within `PCK_TORSO_FRACTION` of the torso, pelvis aside, and all; those of missed people are wrong.

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
    """The sum of joint errors in millimetres and the count of joints, for MPJPE (Ionescu et al. 2014).

    A missed person counts as if a T pose facing the camera had been predicted, so that leaving people out never pays.
    """
    rest = rest_pose()
    total = sum(
        float(joint_distances(guess or rest, person).sum()) for guess, person in match_people(prediction, target)
    )
    return 1000 * total, float(len(JOINT_NAMES) * len(target))


def people_f1_terms(prediction: People, target: People) -> tuple[float, float]:
    """Twice the count of people whose boxes overlap by half or more, and the count of people on both sides."""
    rows, _ = match_by_iou(people_box_iou(prediction, target))
    return 2.0 * len(rows), float(len(prediction) + len(target))


def pck(prediction: People, target: People) -> float:
    """The share of right joints in one sample; 0 where nobody is there to be found."""
    numerator, denominator = pck_terms(prediction, target)
    return numerator / denominator if denominator else 0.0


class PCK(SampleRatioOfSums):
    """Fraction of right joints (percentage of correct keypoints); nan where there are no people."""

    higher_is_better = True
    title, unit = "PCK", FRACTION

    def terms(self, prediction: People, target: People) -> tuple[float, float]:
        """One sample's terms."""
        return pck_terms(prediction, target)


class MeanJointError(SampleRatioOfSums):
    """Mean joint error (MPJPE) in millimetres; nan where there are no people."""

    higher_is_better = False
    title, unit = "joint error", "mm"

    def terms(self, prediction: People, target: People) -> tuple[float, float]:
        """One sample's terms."""
        return joint_error_terms(prediction, target)


class PeopleF1(SampleRatioOfSums):
    """F1 of people by their boxes; 1 where there are none on both sides."""

    higher_is_better = True
    title, unit = "people F1", FRACTION
    value_if_empty = 1.0

    def terms(self, prediction: People, target: People) -> tuple[float, float]:
        """One sample's terms."""
        return people_f1_terms(prediction, target)


def human_pose_metrics() -> MetricCollection:
    """Fresh metrics of people: PCK, mean joint error, F1 of people. The first two are nan where there are none."""
    return collect(pck=PCK(), joint_error=MeanJointError(), people_f1=PeopleF1())


class BodyJointError(RatioOfSums):
    """Mean joint error in millimetres of body poses (k, 207) on a body of mean shape."""

    higher_is_better = False
    title, unit = "joint error", "mm"

    def terms(self, prediction: Float[Tensor, "k 207"], target: Float[Tensor, "k 207"]) -> tuple[Tensor, int]:
        """Sum and number of the joints' errors."""
        one, other = (_pelvis_centered_joints(rows) for rows in (prediction, target))
        return torch.from_numpy(1000 * np.linalg.norm(one - other, axis=-1)).sum(), one.size // 3


class RotationEntryError(ReconstructionError):
    """Mean absolute error of the entries of rotation matrices."""

    unit = "rotation matrix entries"


def _pelvis_centered_joints(rows: Float[Tensor, "k 207"]) -> Float[np.ndarray, "k 17 3"]:
    """The joints of bodies that face the camera, each matrix made the nearest rotation, pelvises on each other."""
    bodies = nearest_rotations(rows.double().numpy().reshape(-1, 23, 3, 3))
    upright = np.tile(np.eye(3, dtype=np.float32), (len(bodies), 1, 1))
    joints = forward_kinematics(upright, bodies, np.zeros((len(bodies), 10), dtype=np.float32))
    return np.asarray(joints - joints[:, _PELVIS : _PELVIS + 1])


def body_pose_reconstruction_metrics() -> MetricCollection:
    """Fresh metrics of body poses as rows: mean joint error, mean absolute error of the matrices' entries."""
    return collect(joint_error=BodyJointError(), entry_error=RotationEntryError())
