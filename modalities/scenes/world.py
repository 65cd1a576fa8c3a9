"""Constants and records of the procedural world: colors, limits, materials, solids, seeds of splits.

World frame: the camera at the origin, x to its right, y up (gravity is -y), z towards the viewer, meters.
Camera frame: the world frame turned by the camera's pitch, so z is still towards the viewer and depth is -z.
"""

from typing import NamedTuple

MAX_DEPTH = 12.0
"""Largest depth that a map holds, in meters; the sky has it everywhere."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 44, 40),
    "orange": (240, 132, 30),
    "yellow": (240, 212, 48),
    "green": (52, 160, 62),
    "blue": (44, 84, 206),
    "purple": (138, 60, 170),
    "pink": (240, 140, 178),
    "brown": (126, 80, 46),
    "white": (238, 238, 234),
    "black": (42, 42, 48),
    "gray": (142, 144, 148),
    "beige": (214, 196, 160),
}
"""Name to albedo, sRGB 0..255."""

Vector3 = tuple[float, float, float]

SPLITS: tuple[str, ...] = ("train", "validation", "test")


def split_seed(split: str, index: int) -> int:
    """The seed of one scene of a split; no seed belongs to two splits.

    Raises:
        ValueError: The split is unknown, or ``index`` is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"No split named {split!r}. Known: {', '.join(SPLITS)}.")
    if index < 0:
        raise ValueError(f"The index of a scene must be 0 or more, got {index}.")
    return index * 4 + SPLITS.index(split)


class Material(NamedTuple):
    """Surface appearance: an albedo, darkened in the cells of a solid texture."""

    rgb: Vector3
    """Albedo, 0..1."""
    contrast: float = 0.0
    """Share of the albedo that the dark cells lose."""
    freq: Vector3 = (0.0, 0.0, 0.0)
    """Cells per meter along the local axes; 0 leaves an axis out, so one non-zero axis gives stripes."""
    is_noise: bool = False
    """True for cells of random shades; otherwise light and dark alternate."""
    origin: Vector3 = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    """Turn of the local axes about +y, radians."""


class Solid(NamedTuple):
    """One convex primitive in the world frame.

    A sphere is at `a`; a capsule and a cylinder run from `a` to `b`; a box is centered at `a`.
    """

    kind: str
    """sphere, capsule, cylinder or box."""
    instance: int
    material: int
    a: Vector3
    b: Vector3 = (0.0, 0.0, 0.0)
    radius: float = 0.0
    half: Vector3 = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    """Turn of a box about +y, radians."""


def albedo(color: str, shade: float = 1.0) -> Vector3:
    """A named color as albedo 0..1, scaled by ``shade``."""
    r, g, b = COLORS[color]
    return (r * shade / 255, g * shade / 255, b * shade / 255)
