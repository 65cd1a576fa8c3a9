"""The unmoving half of a scene, drawn from a seed: camera, room or open ground, and lights."""

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

from modalities.scenes.camera import Camera
from modalities.scenes.world import MAX_DEPTH, Material, Vector3, albedo


class Wall(NamedTuple):
    """An upright plane, visible from its inner side."""

    normal: tuple[float, float]
    """World x and z of the unit normal, pointing out of the room."""
    distance: float
    """From the camera, meters."""
    material: int
    top: float
    """World y of the upper edge; infinite where the wall has none."""


class Rug(NamedTuple):
    """A flat rectangle on the floor."""

    center: tuple[float, float]
    half: tuple[float, float]
    yaw: float
    material: int
    color: str


class Light(NamedTuple):
    """A point light that casts hard shadows."""

    position: Vector3
    power: float
    half_power_distance: float
    """Distance at which the light has half its power, meters; infinite for the sun."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Everything but objects and people, in the world frame."""

    kind: str
    """corner, wall, hall, yard or field."""
    camera: Camera
    materials: tuple[Material, ...]
    """Row 0 the sky, row 1 the ground; walls, ceiling and rug name theirs."""
    ground: str
    """Class of the ground: floor or grass."""
    walls: tuple[Wall, ...]
    ceiling: float
    """World y of the ceiling; infinite without one."""
    ceiling_material: int
    rug: Rug | None
    lights: tuple[Light, ...]
    ambient: float
    haze: Vector3
    """Color that far surfaces fade to, 0..1."""
    wall_color: str
    """Name of the walls' color; empty without walls."""
    floor_color: str

    def contains(self, x: float, z: float, radius: float) -> bool:
        """True if an upright cylinder at world x, z is clear of every wall."""
        return all(w.normal[0] * x + w.normal[1] * z + radius < w.distance for w in self.walls)

    @property
    def is_outdoors(self) -> bool:
        """True if there is a sky."""
        return self.kind in ("yard", "field")


_KINDS = ("corner", "corner", "wall", "hall", "yard", "field")


def sample_room(rng: random.Random) -> Room:
    """Draw a camera, walls, ground and lights."""
    kind = rng.choice(_KINDS)
    camera = Camera(
        height=rng.uniform(1.0, 2.1),
        pitch=math.radians(rng.uniform(8.0, 26.0)),
        focal=0.5 / math.tan(math.radians(rng.uniform(46.0, 68.0)) / 2),
    )
    is_outdoors = kind in ("yard", "field")
    yaw = _room_yaw(rng, kind)
    materials = [Material((0.62, 0.78, 0.95))]
    ground, floor_color, floor = _ground(rng, camera, -yaw, is_outdoors=is_outdoors)
    materials.append(floor)
    wall_color = rng.choice(("beige", "white", "gray", "blue", "green")) if kind != "field" else ""
    ceiling = rng.uniform(2.5, 3.3) - camera.height if not is_outdoors else math.inf
    top = rng.uniform(camera.height + 0.3, 3.0) - camera.height if kind == "yard" else math.inf
    walls = _walls(rng, kind, yaw, wall_color, camera, top, materials)
    materials.append(Material((0.88, 0.88, 0.86)))
    ceiling_material = len(materials) - 1
    rug = _rug(rng, camera, -yaw, materials) if not is_outdoors and rng.random() < 0.4 else None
    return Room(
        kind=kind,
        camera=camera,
        materials=tuple(materials),
        ground=ground,
        walls=walls,
        ceiling=ceiling,
        ceiling_material=ceiling_material,
        rug=rug,
        lights=_lights(rng, camera, kind),
        ambient=rng.uniform(0.38, 0.5),
        haze=(0.72, 0.80, 0.88) if is_outdoors else (0.36, 0.38, 0.43),
        wall_color=wall_color,
        floor_color=floor_color,
    )


def _room_yaw(rng: random.Random, kind: str) -> float:
    if kind == "corner":
        return math.radians(rng.uniform(22.0, 68.0))
    return math.radians(rng.uniform(-18.0, 18.0))


def _ground(rng: random.Random, camera: Camera, yaw: float, *, is_outdoors: bool) -> tuple[str, str, Material]:
    """Class, color and material; cells have the same size in every scene, so they tell the scale."""
    origin = (rng.uniform(0.0, 1.0), -camera.height, rng.uniform(0.0, 1.0))
    if is_outdoors and rng.random() < 0.7:
        return (
            "grass",
            "green",
            Material((0.42, 0.66, 0.28), 0.35, (5.0, 0.0, 5.0), is_noise=True, origin=origin, yaw=yaw),
        )
    color = rng.choice(("beige", "gray", "brown", "white"))
    style = rng.choice(("checker", "plank", "noise"))
    match style:
        case "checker":
            return "floor", color, Material(albedo(color), 0.35, (2.0, 0.0, 2.0), origin=origin, yaw=yaw)
        case "plank":
            return "floor", color, Material(albedo(color), 0.28, (0.0, 0.0, 4.0), origin=origin, yaw=yaw)
        case _:
            return "floor", color, Material(albedo(color), 0.3, (2.0, 0.0, 2.0), is_noise=True, origin=origin, yaw=yaw)


def _walls(
    rng: random.Random, kind: str, yaw: float, color: str, camera: Camera, top: float, materials: list[Material]
) -> tuple[Wall, ...]:
    """Draw the walls of a kind of room and append their materials."""
    near, far = 3.6, 8.5
    match kind:
        case "corner":
            plan = [(yaw, rng.uniform(near - 0.6, 6.5)), (yaw - math.pi / 2, rng.uniform(near - 0.6, 6.5))]
        case "wall" | "yard":
            plan = [(yaw, rng.uniform(near, far))]
        case "hall":
            plan = [(yaw, rng.uniform(near + 0.5, far + 1.5))]
            plan += [(yaw + s * math.pi / 2, rng.uniform(1.4, 2.8)) for s in (1, -1)]
        case _:
            return ()
    style = rng.choice(("plain", "stripes", "bricks"))
    walls = []
    for angle, distance in plan:
        normal = (math.sin(angle), -math.cos(angle))
        freq, contrast, is_noise = {
            "plain": ((0.0, 0.0, 0.0), 0.0, False),
            "stripes": ((2.5, 0.0, 0.0), 0.18, False),
            "bricks": ((2.0, 5.0, 0.0), 0.3, True),
        }[style]
        shade = {"blue": 1.3, "green": 1.25}.get(color, 1.0)
        r, g, b = albedo(color, shade)
        pale = (0.5 + 0.5 * r, 0.5 + 0.5 * g, 0.5 + 0.5 * b) if shade > 1 else (r, g, b)
        materials.append(Material(pale, contrast, freq, is_noise, (0.0, -camera.height, 0.0), -angle))
        walls.append(Wall(normal, distance, len(materials) - 1, top))
    return tuple(walls)


def _rug(rng: random.Random, camera: Camera, yaw: float, materials: list[Material]) -> Rug:
    distance = rng.uniform(2.6, 4.0)
    center = (rng.uniform(-0.25, 0.25) * distance, -distance)
    color = rng.choice(("red", "blue", "purple", "green", "pink"))
    freq = rng.choice(((0.0, 0.0, 0.0), (5.0, 0.0, 0.0)))
    origin = (center[0], -camera.height, center[1])
    materials.append(Material(albedo(color, 0.85), 0.4, freq, origin=origin, yaw=yaw))
    return Rug(center, (rng.uniform(0.7, 1.3), rng.uniform(0.5, 0.9)), yaw, len(materials) - 1, color)


def _lights(rng: random.Random, camera: Camera, kind: str) -> tuple[Light, ...]:
    """Draw a sun, or one or two lamps under the ceiling and inside the narrowest room."""
    if kind in ("yard", "field"):
        turn, lift = rng.uniform(-1.9, 1.9), math.radians(rng.uniform(32.0, 62.0))
        sun = (math.cos(lift) * math.sin(turn), math.sin(lift), math.cos(lift) * math.cos(turn))
        return (
            Light(
                (sun[0] * 4 * MAX_DEPTH, sun[1] * 4 * MAX_DEPTH, sun[2] * 4 * MAX_DEPTH),
                rng.uniform(0.65, 0.8),
                math.inf,
            ),
        )
    up, spread = 2.4 - camera.height, 0.4 if kind == "hall" else 1.0
    key = Light((spread * rng.uniform(-1.3, 1.3), up, rng.uniform(-2.8, 0.3)), rng.uniform(1.05, 1.4), 4.5)
    if rng.random() < 0.35:
        side = rng.choice((-spread, spread))
        return (key, Light((side * rng.uniform(0.6, 1.3), up, rng.uniform(-0.5, 0.5)), 0.5, 4.5))
    return (key,)
