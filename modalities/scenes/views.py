"""Views: one function a modality that gives its value in a scene; other packages add theirs by entry point."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float32

from modalities.errors import BrokenPluginError
from modalities.geometry.boxes import Box, box_area, sort_by_upper_left, to_corners
from modalities.geometry.masks import largest_masks_first
from modalities.geometry.poses import Pose, camera_from_translation
from modalities.labellers import metadata as labeller
from modalities.labellers.canny import canny, instance_edges
from modalities.labellers.palette import MAX_COLORS, dominant_colors
from modalities.layouts import Dense, Embeddings, Vector
from modalities.registry import PluginProvider, PluginRegistry, installed_providers
from modalities.scenes.proxies import feature_map, feature_vector, text_embedding
from modalities.scenes.scene import Scene
from modalities.spec import Modality, Value

SceneView: TypeAlias = Callable[[Scene, Modality], Value]
"""The value of a modality in a scene; the modality is given at the run's scale, and the scene at its size."""

VIEW_ENTRY_POINT_GROUP = "fourm.scene_views"
"""Entry-point group under which a package publishes views, each under the name of its modality."""

MIN_VISIBLE_FRACTION = 0.001
"""Least fraction of the image's pixels that a thing must show to have a bounding box."""


class SceneViews(PluginRegistry[SceneView]):
    """Names of modalities to their views, loaded lazily."""

    kind = "scene view"

    def register(self, name: str, view: SceneView) -> None:
        """Add the view of the modality ``name`` by hand, in a notebook or a test.

        Raises:
            DuplicateNameError: The modality has a view.
        """
        self.add(PluginProvider(name=name, origin=view_module(view), load=lambda: view))

    def _check(self, provider: PluginProvider, value: object) -> SceneView:
        if not callable(value):
            raise BrokenPluginError(
                f"{provider.origin} published a {type(value).__name__}, expected a function (scene, modality) -> value."
            )
        return value


def default_views() -> SceneViews:
    """A fresh table of every view that is built in or installed.

    Raises:
        DuplicateNameError: An installed package brings a view of a modality that has one.
    """
    views = SceneViews(installed_providers(VIEW_ENTRY_POINT_GROUP))
    for name, view in BUILTIN_VIEWS.items():
        views.register(name, view)
    return views


def view_module(view: SceneView) -> str:
    """The name of the module in which a view is written."""
    function = view.func if isinstance(view, partial) else view
    module = getattr(function, "__module__", None)
    return str(module or type(function).__module__)


def visible_boxes(scene: Scene) -> tuple[Box, ...]:
    """Boxes of the things and people that show at least `MIN_VISIBLE_FRACTION`, from the upper left on."""
    least = MIN_VISIBLE_FRACTION * scene.size**2
    shown = [(thing.class_name, thing) for thing in scene.objects] + [("person", one) for one in scene.people]
    return sort_by_upper_left(
        [Box(box=to_corners(one.box), class_name=name) for name, one in shown if one.num_pixels >= least]
    )


def human_poses(scene: Scene) -> tuple[Pose, ...]:
    """The visible people, the largest first."""
    people = [
        Pose(
            box=person.box,
            global_orient=person.global_orient,
            body_pose=person.body_pose,
            betas=person.betas,
            camera=camera_from_translation(person.translation),
        )
        for person in scene.people
    ]
    return tuple(sorted(people, key=lambda pose: -box_area(pose.box)))


def instance_masks(scene: Scene) -> Bool[np.ndarray, "_ h w"]:
    """Masks of the visible things and people, the largest first."""
    instance_ids = [thing.instance for thing in scene.objects] + [person.instance for person in scene.people]
    return largest_masks_first(scene.instances[None] == np.array(instance_ids, dtype=np.int32)[:, None, None])


def color_palette(scene: Scene) -> tuple[tuple[int, int, int], ...]:
    """The leading colors of the picture."""
    colors = dominant_colors(scene.rgb, MAX_COLORS)
    return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)


def semantic_metadata(scene: Scene) -> dict[str, float]:
    """Content of a scene by the definitions of 4M-21: all visible instances as SAM's, the boxes as COCO's."""
    caption = labeller.caption_counts(scene.caption)
    boxes = labeller.instance_counts(box.class_name for box in visible_boxes(scene))
    return {
        "caption_n_chars": caption["characters"],
        "caption_n_words": caption["words"],
        "caption_n_sentences": caption["sentences"],
        "n_humans": boxes["humans"],
        "n_sam_instances": len(scene.objects) + len(scene.people),
        "n_coco_instances": boxes["instances"],
        "coco_instance_diversity": boxes["diversity"],
        "walkability": float(labeller.walkability(scene.classes)),
        "objectness": float(labeller.objectness(scene.classes)),
        "semantic_diversity": int(labeller.semantic_diversity(scene.classes)),
    }


def geometric_metadata(scene: Scene) -> dict[str, float]:
    """Complexity and occlusion by the definitions of 4M-21, from exact depth and normals."""
    return {
        "geometric_complexity": float(labeller.geometric_complexity(scene.normals)),
        "occlusion_score": float(labeller.occlusion_score(scene.depth)),
    }


def image_metadata(scene: Scene) -> dict[str, float]:
    """Size and color statistics of the picture by the definitions of 4M-21."""
    height, width = scene.rgb.shape[:2]
    return {"original_width": width, "original_height": height, **labeller.image_statistics(scene.rgb)}


def _feature_map(scene: Scene, modality: Modality, *, proxy: str) -> Float32[np.ndarray, "h w c"]:
    assert isinstance(modality.layout, Dense)
    return feature_map(scene, grid=modality.layout.values_per_side, channels=modality.layout.channels, proxy=proxy)


def _feature_vector(scene: Scene, modality: Modality, *, proxy: str) -> Float32[np.ndarray, " c"]:
    assert isinstance(modality.layout, Vector)
    return feature_vector(scene, channels=modality.layout.channels, proxy=proxy)


def _t5_caption(scene: Scene, modality: Modality) -> Float32[np.ndarray, "n c"]:
    layout = modality.layout
    assert isinstance(layout, Embeddings)
    return text_embedding(scene.caption, channels=layout.channels, max_tokens=layout.max_tokens)


BUILTIN_VIEWS: Mapping[str, SceneView] = {
    "rgb": lambda scene, _: scene.rgb,
    "depth": lambda scene, _: scene.depth,
    "normals": lambda scene, _: scene.normals,
    "semseg": lambda scene, _: scene.classes,
    "canny_edges": lambda scene, _: canny(scene.rgb),
    "sam_edges": lambda scene, _: instance_edges(scene.instances),
    "sam_instances": lambda scene, _: instance_masks(scene),
    "bounding_boxes": lambda scene, _: visible_boxes(scene),
    "human_poses": lambda scene, _: human_poses(scene),
    "color_palette": lambda scene, _: color_palette(scene),
    "caption": lambda scene, _: scene.caption,
    "web_text": lambda scene, _: scene.web_text,
    "t5_caption": _t5_caption,
    "metadata_semantic": lambda scene, _: semantic_metadata(scene),
    "metadata_geometric": lambda scene, _: geometric_metadata(scene),
    "metadata_image": lambda scene, _: image_metadata(scene),
    "metadata": lambda scene, _: {**semantic_metadata(scene), **geometric_metadata(scene), **image_metadata(scene)},
    "clip": partial(_feature_map, proxy="clip"),
    "dinov2": partial(_feature_map, proxy="dinov2"),
    "imagebind": partial(_feature_map, proxy="imagebind"),
    "dinov2_global": partial(_feature_vector, proxy="dinov2"),
    "imagebind_global": partial(_feature_vector, proxy="imagebind"),
}
"""The view of each built-in modality."""
