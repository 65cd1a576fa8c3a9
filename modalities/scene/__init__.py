"""The embedded data set: a seeded procedural world, ray-cast exactly, with people and captions. numpy only."""

from modalities.scene.camera import Camera
from modalities.scene.scene import Person, Scene, SceneObject, make_scene
from modalities.scene.world import CLASSES, COLORS, FAR, THINGS, WALKABLE, split_seed

__all__ = [
    "CLASSES",
    "COLORS",
    "FAR",
    "THINGS",
    "WALKABLE",
    "Camera",
    "Person",
    "Scene",
    "SceneObject",
    "make_scene",
    "split_seed",
]
