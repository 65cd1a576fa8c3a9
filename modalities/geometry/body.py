"""A body of rigid bones over SMPL's 24-joint tree: forward kinematics, and the capsules that are drawn of it.

Tree, joint order and conventions (rest pose is a T, y up, facing +z, +x to the body's left; rotations relative to the
parent) are those of SMPL (Loper et al. 2015). Bone lengths are our own; SMPL's learned shape space is not used.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64

PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21, 15)
"""Parent of each of SMPL's 24 joints, and of a 25th point, the top of the head."""

JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "right hip",
    "right knee",
    "right ankle",
    "left hip",
    "left knee",
    "left ankle",
    "spine",
    "thorax",
    "neck",
    "head",
    "left shoulder",
    "left elbow",
    "left wrist",
    "right shoulder",
    "right elbow",
    "right wrist",
)
"""The 17 joints of Human3.6M, in its order. As there, "thorax" is the root of the neck and "head" its top."""

_H36M = np.array([0, 2, 5, 8, 1, 4, 7, 6, 12, 15, 24, 16, 18, 20, 17, 19, 21])

_OFFSETS = np.array(
    [
        (0.0, 0.0, 0.0),
        (0.08, -0.06, 0.0),
        (-0.08, -0.06, 0.0),
        (0.0, 0.11, -0.01),
        (0.02, -0.39, 0.0),
        (-0.02, -0.39, 0.0),
        (0.0, 0.13, 0.0),
        (0.0, -0.40, 0.0),
        (0.0, -0.40, 0.0),
        (0.0, 0.06, 0.0),
        (0.02, -0.045, 0.13),
        (-0.02, -0.045, 0.13),
        (0.0, 0.20, 0.0),
        (0.07, 0.12, 0.0),
        (-0.07, 0.12, 0.0),
        (0.0, 0.10, 0.02),
        (0.11, 0.02, 0.0),
        (-0.11, 0.02, 0.0),
        (0.27, 0.0, 0.0),
        (-0.27, 0.0, 0.0),
        (0.25, 0.0, 0.0),
        (-0.25, 0.0, 0.0),
        (0.08, 0.0, 0.0),
        (-0.08, 0.0, 0.0),
        (0.0, 0.12, 0.0),
    ]
)
_WIDTH = np.zeros(25)
_WIDTH[[1, 2, 13, 14, 16, 17]] = 1.0
_LEVELS: tuple[tuple[Any, Any], ...] = tuple(
    (np.array(level), np.array([PARENTS[j] for j in level]))
    for level in (
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
        [10, 11, 12, 13, 14],
        [15, 16, 17],
        [18, 19, 24],
        [20, 21],
        [22, 23],
    )
)

BONES: tuple[tuple[int, int, float, str], ...] = (
    (0, 9, 0.125, "shirt"),
    (16, 17, 0.075, "shirt"),
    (1, 2, 0.10, "trousers"),
    (1, 4, 0.08, "trousers"),
    (2, 5, 0.08, "trousers"),
    (4, 7, 0.06, "trousers"),
    (5, 8, 0.06, "trousers"),
    (7, 10, 0.05, "shoes"),
    (8, 11, 0.05, "shoes"),
    (16, 18, 0.055, "shirt"),
    (17, 19, 0.055, "shirt"),
    (18, 20, 0.045, "shirt"),
    (19, 21, 0.045, "shirt"),
    (20, 22, 0.045, "skin"),
    (21, 23, 0.045, "skin"),
    (12, 15, 0.055, "skin"),
    (15, 24, 0.10, "skin"),
)
"""The capsules of a body: the two joints, the radius at betas of zero in meters, and what covers it."""


def height_scale(betas: Float[np.ndarray, "*batch 10"]) -> Float64[np.ndarray, "*batch"]:
    """The factor on all bone lengths: 5 % a unit of the first beta."""
    return np.asarray(1.0 + 0.05 * betas[..., 0], dtype=np.float64)


def thickness_scale(betas: Float[np.ndarray, "*batch 10"]) -> Float64[np.ndarray, "*batch"]:
    """The factor on all capsule radii: 8 % a unit of the second beta."""
    return np.asarray(1.0 + 0.08 * betas[..., 1], dtype=np.float64)


def all_joints(
    global_orient: Float[np.ndarray, "*batch 3 3"],
    body_pose: Float[np.ndarray, "*batch 23 3 3"],
    betas: Float[np.ndarray, "*batch 10"],
) -> Float64[np.ndarray, "*batch 25 3"]:
    """Place SMPL's 24 joints and the top of the head, in meters relative to the pelvis.

    The third beta widens hips and shoulders by 4 % a unit; betas 3 to 9 have no effect.
    """
    batch = body_pose.shape[:-3]
    width = 1.0 + 0.04 * betas[..., 2, None] * _WIDTH
    offsets = _OFFSETS * height_scale(betas)[..., None, None]
    offsets = np.concatenate([offsets[..., :1] * width[..., None], offsets[..., 1:]], axis=-1)
    turns = np.empty((*batch, 25, 3, 3))
    joints = np.zeros((*batch, 25, 3))
    turns[..., 0, :, :] = global_orient
    for level, parents in _LEVELS:
        parent_turn = turns[..., parents, :, :]
        joints[..., level, :] = joints[..., parents, :] + (parent_turn @ offsets[..., level, :, None])[..., 0]
        if level[-1] != 24:
            turns[..., level, :, :] = parent_turn @ body_pose[..., level - 1, :, :]
        else:
            turns[..., level[:-1], :, :] = parent_turn[..., :-1, :, :] @ body_pose[..., level[:-1] - 1, :, :]
    return joints


def forward_kinematics(
    global_orient: Float[np.ndarray, "*batch 3 3"],
    body_pose: Float[np.ndarray, "*batch 23 3 3"],
    betas: Float[np.ndarray, "*batch 10"],
) -> Float[np.ndarray, "*batch 17 3"]:
    """Place the joints of `JOINT_NAMES`, in meters from the pelvis, in the frame that ``global_orient`` leads to.

    Any number of leading batch axes, the same for all three.

    Raises:
        ValueError: A shape is not as annotated.
    """
    shapes = (global_orient.shape[-2:], body_pose.shape[-3:], betas.shape[-1:])
    if shapes != ((3, 3), (23, 3, 3), (10,)):
        raise ValueError(f"Expected global_orient (3, 3), body_pose (23, 3, 3), betas (10,) at the end, got {shapes}.")
    joints: Float[np.ndarray, "*batch 17 3"] = all_joints(global_orient, body_pose, betas)[..., _H36M, :]
    return joints


def euler_matrices(angles: Float64[np.ndarray, "*batch 3"]) -> Float64[np.ndarray, "*batch 3 3"]:
    """The rotations that turn by angle x about x, then y about y, then z about z (fixed axes, radians)."""
    (cx, cy, cz), (sx, sy, sz) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    entries = [
        cz * cy,
        cz * sy * sx - sz * cx,
        cz * sy * cx + sz * sx,
        sz * cy,
        sz * sy * sx + cz * cx,
        sz * sy * cx - cz * sx,
        -sy,
        cy * sx,
        cy * cx,
    ]
    return np.stack(entries, axis=-1).reshape(*angles.shape[:-1], 3, 3)
