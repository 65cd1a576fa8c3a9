"""People as SMPL parameters: the record, its mirror image, and its joints."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from modalities.errors import DataError
from modalities.geometry.body import forward_kinematics
from modalities.geometry.boxes import Corners, check_corners, crop_box, to_corners
from modalities.spec import Crop

BODY_POSE_SIZE = 207
"""Entries of the 23 rotation matrices of a body pose."""

_LEFT_RIGHT_PAIRS = ((1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21), (22, 23))
"""Left and right joints of SMPL's tree."""

_MIRROR_SIGNS = np.array([-1.0, 1.0, 1.0], dtype=np.float32)


def _mirrored_joint_order() -> list[int]:
    order = list(range(24))
    for left, right in _LEFT_RIGHT_PAIRS:
        order[left], order[right] = right, left
    return [joint - 1 for joint in order[1:]]


_MIRRORED_JOINT_ORDER = _mirrored_joint_order()


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """One person. Frame: x right, y up, z towards the viewer."""

    box: Corners
    global_orient: Float32[np.ndarray, "3 3"]
    """From the body's frame to the camera's."""
    body_pose: Float32[np.ndarray, "23 3 3"]
    """Rotations relative to the parent, in SMPL's order."""
    betas: Float32[np.ndarray, "10"]
    camera: Float32[np.ndarray, "3"]
    """Position of the pelvis: x and y over depth (tangents of the angles off the axis), and depth in meters.

    In this form all three fit the range -1 to 19 that the published grammar can spell.
    """

    @property
    def translation(self) -> Float32[np.ndarray, "3"]:
        """The pelvis in the camera's frame, meters; z is negative in front of the camera."""
        x, y, depth = self.camera
        return np.array([x * depth, y * depth, -depth], dtype=np.float32)

    def joints(self) -> Float[np.ndarray, "17 3"]:
        """The joints of `modalities.geometry.body.JOINT_NAMES` relative to the pelvis, in meters."""
        return self._joints

    @functools.cached_property
    def _joints(self) -> Float[np.ndarray, "17 3"]:
        return forward_kinematics(self.global_orient, self.body_pose, self.betas)

    def to_json(self) -> dict[str, Any]:
        """The pose in types that JSON knows."""
        arrays = {name: getattr(self, name).tolist() for name in _FIELD_SHAPES}
        return {"box": list(self.box), **arrays}

    @classmethod
    def from_json(cls, data: Any) -> "Pose":
        """The pose that `to_json` wrote; ValueError where an array has another shape."""
        arrays = {name: np.array(data[name], dtype=np.float32) for name in _FIELD_SHAPES}
        for name, shape in _FIELD_SHAPES.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} should have the shape {shape}, found {arrays[name].shape}")
        return cls(box=to_corners(data["box"]), **arrays)


_FIELD_SHAPES = {"global_orient": (3, 3), "body_pose": (23, 3, 3), "betas": (10,), "camera": (3,)}


ROTATION_TOLERANCE = 0.05
"""Largest accepted difference between the entries of R R^T and those of the identity."""


def check_pose(pose: Pose, origin: str) -> Pose:
    """The person with their box cut at the image's edges.

    Raises:
        DataError: A number is not finite, a matrix is no rotation, or the box does not fit; the message names the part.
    """
    for name in _FIELD_SHAPES:
        if not np.isfinite(getattr(pose, name)).all():
            raise DataError(f"{origin} has numbers in {name} that are not finite, expected numbers throughout.")
    for name in ("global_orient", "body_pose"):
        matrices = getattr(pose, name).astype(np.float64).reshape(-1, 3, 3)
        products = matrices @ matrices.transpose(0, 2, 1)
        is_rotation = (np.abs(products - np.eye(3)) <= ROTATION_TOLERANCE).all((1, 2)) & (np.linalg.det(matrices) > 0)
        if not is_rotation.all():
            raise DataError(
                f"{origin} has a matrix in {name} that is no rotation (number {int(np.argmin(is_rotation)) + 1} of "
                f"{len(matrices)}), expected rotation matrices."
            )
    box = check_corners(pose.box, origin)
    return pose if box == pose.box else replace(pose, box=box)


def camera_from_translation(translation: Float[np.ndarray, "3"]) -> Float32[np.ndarray, "3"]:
    """`Pose.camera` of a pelvis in the camera's frame, in front of the camera."""
    x, y, z = (float(value) for value in translation)
    depth = max(-z, 1e-3)
    return np.array([x / depth, y / depth, depth], dtype=np.float32)


def crop_pose(pose: Pose, crop: Crop) -> Pose | None:
    """The person as ``crop`` shows them; None where it shows nothing of their box.

    A mirrored view exchanges left and right limbs. A crop cuts the box; body and place stay as the whole image's
    camera saw them.
    """
    box = crop_box(pose.box, crop)
    if box is None:
        return None
    if not crop.flip:
        return Pose(
            box=box, global_orient=pose.global_orient, body_pose=pose.body_pose, betas=pose.betas, camera=pose.camera
        )
    flip = _MIRROR_SIGNS[:, None] * _MIRROR_SIGNS[None, :]
    return Pose(
        box=box,
        global_orient=pose.global_orient * flip,
        body_pose=pose.body_pose[_MIRRORED_JOINT_ORDER] * flip,
        betas=pose.betas,
        camera=pose.camera * _MIRROR_SIGNS,
    )


def rest_pose() -> Pose:
    """A person of mean shape in a T pose who faces the camera, filling the image."""
    return Pose(
        box=(0.0, 0.0, 1.0, 1.0),
        global_orient=np.eye(3, dtype=np.float32),
        body_pose=np.tile(np.eye(3, dtype=np.float32), (23, 1, 1)),
        betas=np.zeros(10, dtype=np.float32),
        camera=np.array([0.0, 0.0, 1.0], dtype=np.float32),
    )


def nearest_rotations(matrices: Float[np.ndarray, "*n 3 3"]) -> Float32[np.ndarray, "*n 3 3"]:
    """The rotation nearest to each matrix (Frobenius norm), by singular value decomposition."""
    left, _, right = np.linalg.svd(np.nan_to_num(matrices.astype(np.float64)))
    signs = np.ones(left.shape[:-1])
    signs[..., 2] = np.sign(np.linalg.det(left @ right))
    return np.asarray((left * signs[..., None, :]) @ right, dtype=np.float32)


def body_pose_rows(poses: Sequence[Pose]) -> Float32[np.ndarray, "k 207"]:
    """The body poses as rows for the tokenizer."""
    return np.array([pose.body_pose for pose in poses], dtype=np.float32).reshape(-1, BODY_POSE_SIZE)
