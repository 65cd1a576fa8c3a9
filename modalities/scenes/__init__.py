"""The embedded data set: a seeded procedural world, ray-cast exactly, with people and captions. numpy only."""

from modalities.scenes.camera import Camera
from modalities.scenes.scene import Person, Scene, SceneObject, make_scene
from modalities.scenes.world import CLASSES, COLORS, MAX_DEPTH, THINGS, WALKABLE, split_seed

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
