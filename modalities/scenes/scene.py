"""One procedural scene: exact maps, objects, people and texts, each computed when first read."""

import functools
import random
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8

from modalities.geometry.body import forward_kinematics
from modalities.labels import CLASSES, THINGS
from modalities.scenes.camera import Camera
from modalities.scenes.caption import make_caption
from modalities.scenes.layout import SceneGeometry, sample_scene_geometry
from modalities.scenes.primitives import PrimitiveParts, group_by_primitive
from modalities.scenes.raycast import RayHits, cast_rays
from modalities.scenes.shading import shade
from modalities.scenes.web import make_web_text
from modalities.scenes.world import MAX_DEPTH, Vector3

_Array = TypeVar("_Array", bound=np.ndarray)
BoxCorners = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax of visible pixels' outer edges, 0..1, so multiples of 1 / size."""


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """An object of which at least one pixel is visible."""

    instance: int
    class_name: str
    color: str
    size_name: str
    """small or large."""
    box: BoxCorners
    num_pixels: int
    """Visible ones."""
    center: Vector3
    """Camera frame, meters."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """A person of whom at least one pixel is visible.

    `joints` equals ``forward_kinematics(global_orient, body_pose, betas) + translation``. Camera frame: x right, y up,
    z towards the viewer, so what is visible has a negative z.
    """

    instance: int
    box: BoxCorners
    num_pixels: int
    """Visible ones."""
    color: str
    """Color of the shirt."""
    action: str
    """One of `modalities.scenes.actions.ACTIONS`."""
    global_orient: Float32[np.ndarray, "3 3"]
    """From the body's frame (y up, facing +z) to the camera's."""
    body_pose: Float32[np.ndarray, "23 3 3"]
    """SMPL's order and tree, each relative to its parent."""
    betas: Float32[np.ndarray, "10"]
    translation: Float32[np.ndarray, "3"]
    """The pelvis in the camera frame, meters."""
    joints: Float32[np.ndarray, "17 3"]
    """Camera frame, meters; `modalities.geometry.body.JOINT_NAMES` has their order."""
    joints_2d: Float32[np.ndarray, "17 2"]
    """In the image: x right, y down, 0..1 inside."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A seeded scene, rendered at one size. Maps are read-only, and exact: all come from the same analytic ray hits."""

    seed: int
    size: int
    """Side of the maps, in pixels."""

    @functools.cached_property
    def geometry(self) -> SceneGeometry:
        """The geometry; it does not depend on `size`."""
        return sample_scene_geometry(self.seed)

    @property
    def camera(self) -> Camera:
        """The camera at the world's origin."""
        return self.geometry.room.camera

    @functools.cached_property
    def _parts(self) -> PrimitiveParts:
        return group_by_primitive(self.geometry.solids)

    @functools.cached_property
    def _hits(self) -> RayHits:
        return cast_rays(self.geometry, self._parts, self.size)

    @functools.cached_property
    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture, sRGB."""
        return _read_only(shade(self.geometry, self._parts, self._hits, self.size))

    @functools.cached_property
    def depth(self) -> Float32[np.ndarray, "h w"]:
        """Depth along the optical axis, meters, at most `MAX_DEPTH`."""
        return _read_only(np.minimum(self._hits.depth, np.float32(MAX_DEPTH)).reshape(self.size, self.size))

    @functools.cached_property
    def normals(self) -> Float32[np.ndarray, "h w 3"]:
        """Unit surface normals in the camera frame: (0, 0, 1) faces the camera, as the sky does."""
        in_camera = self.camera.rotation.astype(np.float32) @ self._hits.normal
        return _read_only(np.ascontiguousarray(in_camera.T).reshape(self.size, self.size, 3))

    @functools.cached_property
    def classes(self) -> UInt8[np.ndarray, "h w"]:
        """Index into `CLASSES`."""
        return _read_only(self._hits.label.reshape(self.size, self.size))

    @functools.cached_property
    def instances(self) -> Int32[np.ndarray, "h w"]:
        """Instance of the object or person, 0 for stuff. Invisible instances leave gaps in the count."""
        return _read_only(self._hits.instance.reshape(self.size, self.size))

    @functools.cached_property
    def _visible(self) -> dict[int, tuple[int, BoxCorners]]:
        """Number of pixels and box of each visible instance."""
        return _instance_boxes(self.instances)

    @functools.cached_property
    def _stuff(self) -> frozenset[str]:
        """Classes of stuff that fill two hundredths of the image or more."""
        share = np.bincount(self._hits.label, minlength=len(CLASSES)) / self._hits.label.size
        return frozenset(CLASSES[i] for i in np.flatnonzero(share >= 0.02)) - THINGS

    @functools.cached_property
    def objects(self) -> tuple[SceneObject, ...]:
        """The visible objects, people left out, by instance."""
        rotation = self.camera.rotation
        found = []
        for thing in self.geometry.things:
            if thing.instance in self._visible:
                num_pixels, box = self._visible[thing.instance]
                x, y, z = (rotation @ thing.center).tolist()
                found.append(
                    SceneObject(
                        instance=thing.instance,
                        class_name=thing.class_name,
                        color=thing.color,
                        size_name=thing.size_name,
                        box=box,
                        num_pixels=num_pixels,
                        center=(x, y, z),
                    )
                )
        return tuple(found)

    @functools.cached_property
    def people(self) -> tuple[Person, ...]:
        """The visible people, by instance."""
        camera = self.camera
        found = []
        for figure in self.geometry.figures:
            if figure.instance in self._visible:
                num_pixels, box = self._visible[figure.instance]
                orient, pelvis = camera.rotation @ figure.orient, camera.rotation @ figure.pelvis
                joints = (forward_kinematics(orient, figure.body_pose, figure.betas) + pelvis).astype(np.float32)
                found.append(
                    Person(
                        instance=figure.instance,
                        box=box,
                        num_pixels=num_pixels,
                        color=figure.color,
                        action=figure.action,
                        global_orient=orient.astype(np.float32),
                        body_pose=figure.body_pose.astype(np.float32),
                        betas=figure.betas.astype(np.float32),
                        translation=pelvis.astype(np.float32),
                        joints=joints,
                        joints_2d=camera.project(joints),
                    )
                )
        return tuple(found)

    @functools.cached_property
    def caption(self) -> str:
        """A true sentence about what is visible, in lower case."""
        rng = random.Random(f"caption {self.seed}")
        return make_caption(rng, self.geometry, self._visible, self._stuff, self.size)

    @functools.cached_property
    def web_text(self) -> str:
        """A short paragraph as on a web page: partly about this scene, partly about the world of scenes."""
        rng = random.Random(f"page {self.seed}")
        return make_web_text(rng, self.geometry, self._visible, self._stuff, self.size)


def make_scene(seed: int, *, size: int = 64) -> Scene:
    """The scene that belongs to a seed; the size changes how it is rendered and nothing else.

    Raises:
        ValueError: ``seed`` is negative, or ``size`` less than 8 pixels.
    """
    if seed < 0:
        raise ValueError(f"The seed of a scene must be 0 or more, got {seed}.")
    if size < 8:
        raise ValueError(f"The size of a scene must be 8 pixels or more, got {size}.")
    return Scene(seed=seed, size=size)


def _read_only(array: _Array) -> _Array:
    array.setflags(write=False)
    return array


def _instance_boxes(instances: Int32[np.ndarray, "h w"]) -> dict[int, tuple[int, BoxCorners]]:
    """Count the pixels and bound the extent of each instance but 0."""
    rows, columns = np.nonzero(instances)
    ids: Int64[np.ndarray, " n"] = instances[rows, columns].astype(np.int64)
    count = np.bincount(ids)
    size = instances.shape[0]
    low = np.full((2, count.shape[0]), size)
    high = np.zeros((2, count.shape[0]), np.int64)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(low[axis], ids, places)
        np.maximum.at(high[axis], ids, places + 1)
    (xmin, ymin), (xmax, ymax) = (low / size).tolist(), (high / size).tolist()
    return {i: (n, (xmin[i], ymin[i], xmax[i], ymax[i])) for i, n in enumerate(count.tolist()) if n}
