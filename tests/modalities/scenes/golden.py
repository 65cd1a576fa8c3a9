"""A hash of all that a scene gives, coarse enough to be the same on every processor and fine enough to tell places.

Numbers are counted in steps. The phases of the steps are chosen such that no number of a golden scene lies near the
edge of a step, where a last bit's difference between processors would show; another set of golden scenes takes others.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modalities.builtin.metadata import FIELDS
from modalities.builtin.metadata import MODALITY as METADATA
from modalities.labellers.canny import canny, instance_edges
from modalities.labellers.palette import dominant_colors
from modalities.scenes.scene import Scene
from tests.modalities.scene_cases import view_of

SIDE = 4
"""Blocks along each side of a map."""

STEPS = {
    "rgb": (2.0, 0.2275),
    "depth": (0.1, 0.0749),
    "normals": (0.05, 0.332),
    "classes": (0.05, 0.8594),
    "instances": (0.02, 0.1641),
    "centers": (0.1, 0.3123),
    "poses": (0.1, 0.6628),
    "joints": (0.05, 0.2136),
    "joints_2d": (0.02, 0.7623),
    "palette": (4.0, 0.875),
    "edges": (4.0, 0.875),
    "metadata": (0.02, 0.4621),
}
"""Size of a step, in the unit of the numbers, and its phase as a share of the size."""

MAPS = ("rgb", "depth", "normals", "classes", "instances")


def block_means(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """The mean of each of `SIDE` x `SIDE` blocks of a map (h, w, ...): all pixels count, and where they are."""
    height, width = (side // SIDE for side in values.shape[:2])
    parts = values.astype(np.float64).reshape(SIDE, height, SIDE, width, -1)
    means: NDArray[np.float64] = parts.mean(axis=(1, 3))
    return means


def measured_values(scene: Scene) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What is counted in steps, by its key in `STEPS`."""
    for name in MAPS:
        yield name, block_means(getattr(scene, name))
    yield "centers", _flat([item.center for item in scene.objects])
    for person in scene.people:
        yield "poses", _flat(person.global_orient, person.body_pose, person.betas)
        yield "joints", _flat(person.joints, person.translation)
        yield "joints_2d", _flat(person.joints_2d)
    yield "palette", _flat(dominant_colors(scene.rgb, 7))
    # Counts of edge pixels in each block.
    area = (scene.size // SIDE) ** 2
    yield "edges", _flat(*(area * block_means(edges) for edges in (canny(scene.rgb), instance_edges(scene.instances))))
    metadata = view_of(METADATA, scene)
    yield "metadata", _flat([metadata[field.name] / field.max_value for field in FIELDS if field.max_value is not None])


def exact_values(scene: Scene) -> list[object]:
    """What is the same to the bit everywhere: texts, names, counts, boxes in pixels."""
    metadata = view_of(METADATA, scene)
    return [
        [(item.class_name, item.color, item.size_name, pixels(item.box, scene.size)) for item in scene.objects],
        [(person.action, person.color, pixels(person.box, scene.size)) for person in scene.people],
        [(field.name, metadata[field.name]) for field in FIELDS if field.max_value is None],
        scene.caption,
        scene.web_text,
    ]


def pixels(box: tuple[float, float, float, float], size: int) -> list[int]:
    """A box in whole pixels, which its edges lie on."""
    return [round(edge * size) for edge in box]


def quantize_values(name: str, values: ArrayLike) -> list[int]:
    """Numbers counted in the steps of ``name``."""
    size, phase = STEPS[name]
    quantized: list[int] = np.floor(np.asarray(values, dtype=np.float64) / size + phase).astype(int).ravel().tolist()
    return quantized


def scene_digest(scene: Scene) -> str:
    """The hash of a scene."""
    quantized = [(name, quantize_values(name, values)) for name, values in measured_values(scene)]
    return hashlib.sha256(f"{quantized}{exact_values(scene)}".encode()).hexdigest()[:16]


def step_margins(scenes: list[Scene]) -> dict[str, float]:
    """How far the nearest number of all is from the edge of its step, by key, as a share of the step."""
    nearest = dict.fromkeys(STEPS, 0.5)
    for scene in scenes:
        for name, values in measured_values(scene):
            size, phase = STEPS[name]
            offsets = (values / size + phase) % 1
            nearest[name] = min(nearest[name], float(np.minimum(offsets, 1 - offsets).min(initial=0.5)))
    return nearest


def _flat(*arrays: ArrayLike) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(array, dtype=np.float64).ravel() for array in arrays])
