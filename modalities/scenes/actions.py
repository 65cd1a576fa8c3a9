"""Actions of people, as joint angles drawn around a named action."""

import random

import numpy as np
from jaxtyping import Float64

from modalities.geometry.body import euler_matrices

ACTIONS: tuple[str, ...] = (
    "standing",
    "walking",
    "raising the left arm",
    "raising the right arm",
    "raising both arms",
    "spreading both arms",
    "pointing forward",
    "bending over",
    "sitting",
)

_L_HIP, _R_HIP, _SPINE1, _L_KNEE, _R_KNEE, _SPINE2 = 0, 1, 2, 3, 4, 5
_SPINE3, _HEAD, _L_SHOULDER, _R_SHOULDER, _L_ELBOW, _R_ELBOW = 8, 14, 15, 16, 17, 18


def _arm(angles: Float64[np.ndarray, "23 3"], side: int, lift: float, bend: float = 0.15, swing: float = 0.0) -> None:
    """Set one arm: ``side`` 1 is the left; ``lift`` is 0 for level, -pi/2 hanging; positive ``swing`` is forward."""
    shoulder, elbow = (_L_SHOULDER, _L_ELBOW) if side == 1 else (_R_SHOULDER, _R_ELBOW)
    angles[shoulder] = (0.0, -side * swing, side * lift)
    angles[elbow] = (0.0, -side * bend, 0.0)


def sample_body_pose(rng: random.Random, action: str) -> Float64[np.ndarray, "23 3 3"]:
    """Draw a body pose for an action, in SMPL's joint order (`ACTIONS` has the names)."""
    angles = np.array([rng.gauss(0.0, 0.04) for _ in range(69)]).reshape(23, 3)
    hang = rng.uniform(-1.42, -1.25)
    _arm(angles, 1, hang, rng.uniform(0.05, 0.5))
    _arm(angles, -1, hang, rng.uniform(0.05, 0.5))
    angles[_HEAD, 1] += rng.uniform(-0.5, 0.5)
    match action:
        case "walking":
            stride = rng.choice((-1, 1)) * rng.uniform(0.4, 0.6)
            angles[_L_HIP, 0], angles[_R_HIP, 0] = -stride, stride
            angles[_L_KNEE, 0], angles[_R_KNEE, 0] = max(0.1, stride), max(0.1, -stride)
            _arm(angles, 1, hang, 0.3, swing=-0.8 * stride)
            _arm(angles, -1, hang, 0.3, swing=0.8 * stride)
        case "raising the left arm":
            _arm(angles, 1, rng.uniform(0.8, 1.3), rng.uniform(0.0, 0.3))
        case "raising the right arm":
            _arm(angles, -1, rng.uniform(0.8, 1.3), rng.uniform(0.0, 0.3))
        case "raising both arms":
            lift = rng.uniform(0.8, 1.3)
            _arm(angles, 1, lift)
            _arm(angles, -1, lift)
        case "spreading both arms":
            lift = rng.uniform(-0.1, 0.2)
            _arm(angles, 1, lift, 0.05)
            _arm(angles, -1, lift, 0.05)
        case "pointing forward":
            side = rng.choice((-1, 1))
            shoulder = _L_SHOULDER if side == 1 else _R_SHOULDER
            angles[shoulder] = (0.0, -side * rng.uniform(1.3, 1.6), 0.0)
            angles[_L_ELBOW if side == 1 else _R_ELBOW] = 0.0
        case "bending over":
            lean = rng.uniform(0.25, 0.4)
            angles[[_SPINE1, _SPINE2, _SPINE3], 0] = lean
            angles[[_L_HIP, _R_HIP], 0] = 0.0
        case "sitting":
            angles[[_L_HIP, _R_HIP]] = (-1.5, 0.0, 0.0)
            angles[[_L_KNEE, _R_KNEE]] = (1.5, 0.0, 0.0)
            angles[[_SPINE1, _SPINE2, _SPINE3]] *= 0.5
            _arm(angles, 1, -1.1, 0.1, swing=0.5)
            _arm(angles, -1, -1.1, 0.1, swing=0.5)
        case _:
            pass
    return euler_matrices(angles)
