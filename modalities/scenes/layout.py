"""A whole scene as geometry, drawn from a seed: a room, and objects and people that stand in it and do not overlap.

Placement is by rejection: bounding upright cylinders may not meet, what is stacked stays within the disc it stands on,
and everything stays between the walls.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from modalities.geometry.body import BONES, all_joints, euler_matrices, thickness_scale
from modalities.scenes.actions import ACTIONS, sample_body_pose
from modalities.scenes.room import Room, sample_room
from modalities.scenes.things import ObjectShape, PlacedObject, build_solids, sample_color, sample_object_shape
from modalities.scenes.world import Material, Solid, Vector3, albedo

_SHIRTS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
_SKINS: tuple[Vector3, ...] = ((0.95, 0.78, 0.66), (0.80, 0.58, 0.42), (0.48, 0.33, 0.24))
_TEXTURES: dict[str, tuple[tuple[Vector3, float], ...]] = {
    "ball": (((0.0, 0.0, 0.0), 0.0), ((0.0, 5.0, 0.0), 0.35)),
    "box": (((0.0, 0.0, 0.0), 0.0), ((5.0, 5.0, 5.0), 0.3), ((0.0, 5.0, 0.0), 0.3)),
    "can": (((0.0, 0.0, 0.0), 0.0), ((0.0, 5.0, 0.0), 0.4)),
    "log": (((6.0, 0.0, 0.0), 0.35),),
    "lamp": (((0.0, 0.0, 0.0), 0.0),),
    "table": (((0.0, 0.0, 0.0), 0.0), ((5.0, 0.0, 0.0), 0.25)),
}


@dataclass(frozen=True, kw_only=True)
class PlacedPerson:
    """One person, in the world frame."""

    instance: int
    action: str
    color: str
    orient: Float64[np.ndarray, "3 3"]
    body_pose: Float64[np.ndarray, "23 3 3"]
    betas: Float64[np.ndarray, "10"]
    pelvis: Float64[np.ndarray, "3"]
    footprint: float
    top: float
    support: int


@dataclass(frozen=True, kw_only=True)
class SceneGeometry:
    """The geometry of a scene; nothing in it depends on an image size."""

    room: Room
    things: tuple[PlacedObject, ...]
    figures: tuple[PlacedPerson, ...]
    solids: tuple[Solid, ...]
    materials: tuple[Material, ...]


class _Builder:
    """A geometry in the making."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.room = sample_room(rng)
        self.materials = list(self.room.materials)
        self.solids: list[Solid] = []
        self.things: list[PlacedObject] = []
        self.figures: list[PlacedPerson] = []
        self.occupied: list[tuple[float, float, float]] = []

    @property
    def next_instance(self) -> int:
        return 1 + len(self.things) + len(self.figures)

    def find_free_spot(self, footprint: float, height: float, near: float) -> tuple[float, float] | None:
        """Draw a free place on the ground that the camera sees, or None after some tries."""
        camera, rng = self.room.camera, self.rng
        c, s = math.cos(camera.pitch), math.sin(camera.pitch)
        middle = 0.5 * height - camera.height
        reach = 8.5 if self.room.is_outdoors else 7.0
        for _ in range(24):
            distance = near + (reach - near) * rng.random() ** 1.6
            x = rng.uniform(-0.43, 0.43) * distance / camera.focal
            v = camera.focal * (c * middle + s * distance) / (c * distance - s * middle)
            if abs(v) > 0.42 or not self.room.contains(x, -distance, footprint + 0.02):
                continue
            if all(math.hypot(x - tx, -distance - tz) > footprint + tr + 0.03 for tx, tz, tr in self.occupied):
                return (x, -distance)
        return None

    def add_object(self, shape: ObjectShape, base: Vector3, support: int, color: str | None = None) -> PlacedObject:
        color = color or sample_color(self.rng, shape.class_name)
        instance = self.next_instance
        texture = self.rng.choice(_TEXTURES[shape.class_name])
        self.solids += build_solids(shape, instance, color, base, self.materials, texture)
        thing = PlacedObject(
            instance=instance,
            class_name=shape.class_name,
            color=color,
            size_name=shape.size_name,
            center=(base[0], base[1] + shape.half[1], base[2]),
            footprint=shape.footprint,
            top=base[1] + shape.height,
            support=support,
        )
        self.things.append(thing)
        return thing

    def add_random_object(self) -> None:
        """Put an object on the ground, and sometimes a small one on top of it."""
        rng, shape = self.rng, sample_object_shape(self.rng)
        spot = self.find_free_spot(shape.footprint, shape.height, 2.0)
        if spot is None:
            return
        x, z = spot
        self.occupied.append((x, z, shape.footprint))
        thing = self.add_object(shape, (x, -self.room.camera.height, z), 0)
        if not (shape.is_stackable and rng.random() < 0.45):
            return
        for _ in range(4):
            small_shape = sample_object_shape(rng, only_small=True)
            if small_shape.footprint < shape.top_radius:
                self.add_object(small_shape, (x, thing.top, z), thing.instance)
                return

    def add_random_person(self) -> None:
        """Put a person on the ground, or on a box that is added for it."""
        rng = self.rng
        action = rng.choice(ACTIONS)
        betas = np.zeros(10)
        betas[:3] = [max(-2.0, min(2.0, rng.gauss(0.0, 1.0))) for _ in range(3)]
        pose = sample_body_pose(rng, action)
        yaw = rng.uniform(-1.3, 1.3) if rng.random() < 0.8 else rng.uniform(-math.pi, math.pi)
        lean = 0.0 if action == "sitting" else rng.gauss(0.0, 0.03)
        orient = euler_matrices(np.array([lean, yaw, 0.0]))
        joints = all_joints(orient, pose, betas)
        radii = thickness_scale(betas) * _RADII
        ends = joints[_ENDS]
        reach = float((np.hypot(ends[..., 0], ends[..., 2]) + radii[:, None]).max())
        low, high = float((ends[..., 1] - radii[:, None]).min()), float((ends[..., 1] + radii[:, None]).max())
        spot = self.find_free_spot(reach, high - low, 2.9)
        if spot is None:
            return
        x, z = spot
        self.occupied.append((x, z, reach))
        floor = -self.room.camera.height
        support = 0
        if action == "sitting":
            support = self._add_seat(yaw, x, z, floor - low, joints, radii)
        pelvis = np.array([x, floor - low, z])
        color = rng.choice(_SHIRTS)
        figure = PlacedPerson(
            instance=self.next_instance,
            action=action,
            color=color,
            orient=orient,
            body_pose=pose,
            betas=betas,
            pelvis=pelvis,
            footprint=reach,
            top=floor - low + high,
            support=support,
        )
        self._add_body(figure, joints + pelvis, radii)

    def _add_seat(
        self,
        yaw: float,
        x: float,
        z: float,
        pelvis_y: float,
        joints: Float64[np.ndarray, "25 3"],
        radii: Float64[np.ndarray, "17"],
    ) -> int:
        """Put a box under the pelvis and the thighs, behind the shins."""
        floor = -self.room.camera.height
        seat_top = min(float((joints[_ENDS[i], 1] - radii[i]).min()) for i in _SEAT_BONES) + pelvis_y - 0.002
        half_y = 0.5 * (seat_top - floor)
        ahead = np.array([math.sin(yaw), 0.0, math.cos(yaw)])
        shins = joints[[4, 5, 7, 8]] @ ahead
        front = float(shins.min()) - float(radii[5]) - 0.03
        half_z = 0.2
        back = front - half_z
        shape = ObjectShape(class_name="box", size_name="small", half=(0.25, half_y, half_z), yaw=yaw)
        base = (x + back * float(ahead[0]), floor, z + back * float(ahead[2]))
        return self.add_object(shape, base, 0).instance

    def _add_body(
        self, figure: PlacedPerson, joints: Float64[np.ndarray, "25 3"], radii: Float64[np.ndarray, "17"]
    ) -> None:
        """Append a person's capsules and materials."""
        rng, first = self.rng, len(self.materials)
        trousers = albedo(rng.choice(("blue", "gray", "black", "brown")), 0.75)
        self.materials += [Material(albedo(figure.color)), Material(trousers), Material(rng.choice(_SKINS))]
        self.materials.append(Material((0.12, 0.11, 0.12)))
        cover = {"shirt": first, "trousers": first + 1, "skin": first + 2, "shoes": first + 3}
        points: list[Vector3] = [(p[0], p[1], p[2]) for p in joints.tolist()]
        for (a, b, _, part), radius in zip(BONES, radii.tolist(), strict=True):
            self.solids.append(Solid("capsule", figure.instance, cover[part], points[a], points[b], radius))
        self.figures.append(figure)


_ENDS = np.array([(a, b) for a, b, _, _ in BONES])
_RADII = np.array([radius for _, _, radius, _ in BONES])
_SEAT_BONES = [i for i, (a, b, _, part) in enumerate(BONES) if part == "trousers" and a in (1, 2)] + [0]


def sample_scene_geometry(seed: int) -> SceneGeometry:
    """Draw the geometry of the scene that belongs to a seed."""
    rng = random.Random(seed)
    builder = _Builder(rng)
    for _ in range(rng.choices((0, 1, 2), (0.45, 0.40, 0.15))[0]):
        builder.add_random_person()
    for _ in range(rng.randint(2, 5)):
        if len(builder.things) + len(builder.figures) < 7:
            builder.add_random_object()
    return SceneGeometry(
        room=builder.room,
        things=tuple(builder.things),
        figures=tuple(builder.figures),
        solids=tuple(builder.solids),
        materials=tuple(builder.materials),
    )
