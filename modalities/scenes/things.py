"""Objects: how each class is built of primitives, in what sizes and colors."""

import math
import random
from dataclasses import dataclass

from modalities.scenes.world import Material, Solid, Vector3, albedo


@dataclass(frozen=True, kw_only=True)
class PlacedObject:
    """One object that stands in a scene, in the world frame."""

    instance: int
    class_name: str
    color: str
    size_name: str
    center: Vector3
    """Middle of its bounding cylinder."""
    footprint: float
    """Radius of the bounding upright cylinder, meters."""
    top: float
    """World y of its highest point."""
    support: int = 0
    """Instance that it stands on; 0 is the ground."""


@dataclass(frozen=True, kw_only=True)
class ObjectShape:
    """The measures of an object before it has a place."""

    class_name: str
    size_name: str
    half: Vector3
    """Half extents along its own axes, meters; what each means is the class's."""
    yaw: float

    @property
    def height(self) -> float:
        """From its lowest to its highest point, meters."""
        return 2 * self.half[1]

    @property
    def footprint(self) -> float:
        """Radius of the bounding upright cylinder, meters."""
        if self.class_name in ("box", "table"):
            return math.hypot(self.half[0], self.half[2])
        return max(self.half[0], self.half[2])

    @property
    def is_stackable(self) -> bool:
        """True if something small may stand on it."""
        return self.class_name in ("box", "table")

    @property
    def top_radius(self) -> float:
        """Radius of the largest disc on its top, meters."""
        return min(self.half[0], self.half[2])


_COLORS: dict[str, tuple[str, ...]] = {
    "ball": ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"),
    "box": ("red", "orange", "yellow", "green", "blue", "purple", "brown", "gray", "brown"),
    "can": ("red", "green", "blue", "yellow", "gray", "white", "pink"),
    "log": ("brown", "brown", "brown", "black", "orange"),
    "lamp": ("yellow", "white", "orange", "yellow"),
    "table": ("brown", "white", "black", "brown"),
}
_NAMES = ("ball", "ball", "box", "box", "box", "can", "can", "log", "lamp", "table")


def sample_color(rng: random.Random, class_name: str) -> str:
    """Draw a color that is usual for a class."""
    return rng.choice(_COLORS[class_name])


def sample_object_shape(rng: random.Random, *, only_small: bool = False) -> ObjectShape:
    """Draw class, size and turn of an object; small and large do not overlap."""
    name = rng.choice(("ball", "can", "box", "ball") if only_small else _NAMES)
    is_large = not only_small and rng.random() < 0.5
    return ObjectShape(
        class_name=name,
        size_name="large" if is_large else "small",
        half=_half(rng, name, is_large=is_large),
        yaw=rng.uniform(-math.pi, math.pi),
    )


def _half(rng: random.Random, name: str, *, is_large: bool) -> Vector3:
    match name:
        case "ball":
            r = rng.uniform(0.40, 0.52) if is_large else rng.uniform(0.20, 0.28)
            return (r, r, r)
        case "box":
            low, high = (0.36, 0.50) if is_large else (0.20, 0.27)
            return (rng.uniform(low, high), rng.uniform(low, high), rng.uniform(low, high))
        case "can":
            r = rng.uniform(0.28, 0.36) if is_large else rng.uniform(0.15, 0.20)
            return (r, r * rng.uniform(1.3, 1.7), r)
        case "log":
            r = rng.uniform(0.20, 0.26) if is_large else rng.uniform(0.12, 0.16)
            return (r * rng.uniform(2.6, 3.2), r, r)
        case "lamp":
            r = rng.uniform(0.19, 0.24) if is_large else rng.uniform(0.13, 0.16)
            return (r, r * rng.uniform(3.2, 3.8), r)
        case _:
            s = 1.0 if is_large else 0.62
            return (s * rng.uniform(0.55, 0.65), s * rng.uniform(0.36, 0.42), s * rng.uniform(0.40, 0.48))


def build_solids(
    shape: ObjectShape,
    instance: int,
    color: str,
    base: Vector3,
    materials: list[Material],
    texture: tuple[Vector3, float],
) -> list[Solid]:
    """The primitives of an object that stands at ``base``; appends its materials.

    ``texture`` is cell frequencies and contrast of its main material.
    """
    x, y, z = base
    hx, hy, hz = shape.half
    main, yaw = len(materials), shape.yaw
    freq, contrast = texture
    materials.append(Material(albedo(color), contrast, freq, origin=(x, y + hy, z), yaw=yaw))
    match shape.class_name:
        case "ball":
            return [Solid("sphere", instance, main, (x, y + hy, z), radius=hx)]
        case "box":
            return [Solid("box", instance, main, (x, y + hy, z), half=shape.half, yaw=yaw)]
        case "can":
            return [Solid("cylinder", instance, main, base, (x, y + 2 * hy, z), hx)]
        case "log":
            dx, dz = (hx - hz) * math.cos(yaw), -(hx - hz) * math.sin(yaw)
            return [Solid("capsule", instance, main, (x - dx, y + hy, z - dz), (x + dx, y + hy, z + dz), hz)]
        case "lamp":
            materials.append(Material(albedo("black")))
            bulb = y + 2 * hy - hx
            return [
                Solid("sphere", instance, main, (x, bulb, z), radius=hx),
                Solid("cylinder", instance, main + 1, (x, y + 0.05, z), (x, bulb - 0.5 * hx, z), 0.2 * hx),
                Solid("cylinder", instance, main + 1, base, (x, y + 0.05, z), 0.8 * hx),
            ]
        case _:
            return _table(shape, instance, main, base)


def _table(shape: ObjectShape, instance: int, material: int, base: Vector3) -> list[Solid]:
    x, y, z = base
    hx, hy, hz = shape.half
    c, s = math.cos(shape.yaw), math.sin(shape.yaw)
    thick, leg = 0.1 * hy, 0.08 * hx
    under = y + 2 * hy - 2 * thick
    solids = [Solid("box", instance, material, (x, under + thick, z), half=(hx, thick, hz), yaw=shape.yaw)]
    for sx in (-1, 1):
        for sz in (-1, 1):
            lx, lz = sx * (hx - 1.5 * leg), sz * (hz - 1.5 * leg)
            px, pz = x + c * lx + s * lz, z - s * lx + c * lz
            solids.append(Solid("cylinder", instance, material, (px, y, pz), (px, under, pz), leg))
    return solids
