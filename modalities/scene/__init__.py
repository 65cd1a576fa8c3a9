"""The embedded data set: a seeded procedural world, ray-cast exactly, with people and captions. numpy only."""

from modalities.scene.camera import Camera
from modalities.scene.scene import Person, Scene, SceneObject, make_scene
from modalities.scene.world import CLASSES, COLORS, MAX_DEPTH, THINGS, WALKABLE, split_seed

__all__ = [
    "CLASSES",
    "COLORS",
    "MAX_DEPTH",
    "THINGS",
    "WALKABLE",
    "Camera",
    "Person",
    "Scene",
    "SceneObject",
    "make_scene",
    "split_seed",
]
