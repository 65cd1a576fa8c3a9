"""Metadata from other modalities, counted by hand, and against the views of scenes."""

from dataclasses import replace

import numpy as np
import pytest

from modalities.geometry.boxes import Box
from modalities.labellers.exact_metadata import METADATA, METADATA_GEOMETRIC, METADATA_SEMANTIC
from modalities.registry import default_registry
from modalities.scenes.scene import make_scene
from modalities.scenes.views import geometric_metadata, image_metadata


def test_semantic_facts_are_counted() -> None:
    boxes = (
        Box(box=(0, 0, 0.5, 0.5), class_name="person"),
        Box(box=(0, 0, 0.5, 0.6), class_name="dog"),
        Box(box=(0, 0, 0.5, 0.7), class_name="dog"),
    )
    classes = np.array([[0, 1, 1, 2], [3, 3, 255, 255]], np.uint8)
    labeller = replace(METADATA_SEMANTIC, map_classes=("sky", "road", "dog", "wall"))
    found = labeller.label(
        {
            "caption": "A dog. Two dogs!",
            "bounding_boxes": boxes,
            "sam_instances": np.zeros((4, 2, 2), bool),
            "semseg": classes,
        }
    )
    assert found == {
        "caption_n_chars": 16,
        "caption_n_words": 4,
        "caption_n_sentences": 2,
        "n_humans": 1,
        "n_coco_instances": 3,
        "coco_instance_diversity": 2,
        "n_sam_instances": 4,
        "walkability": 2 / 8,
        "objectness": 1 / 8,
        "semantic_diversity": 4,
    }


def test_facts_whose_modality_is_missing_are_left_out() -> None:
    assert METADATA_SEMANTIC.label({"sam_instances": np.zeros((2, 4, 4), bool)}) == {"n_sam_instances": 2}
    assert METADATA_SEMANTIC.select_inputs({"caption": None}) is None


def test_shares_of_classes_that_a_map_does_not_know_are_left_out() -> None:
    labeller = replace(METADATA_SEMANTIC, map_classes=("forest", "water"))
    assert labeller.label({"semseg": np.zeros((2, 2), np.uint8)}) == {"semantic_diversity": 1}


def test_the_classes_are_those_of_the_modality_in_use() -> None:
    semseg = default_registry()["semseg"]
    assert METADATA_SEMANTIC.for_modalities({"semseg": semseg}).map_classes == getattr(semseg, "classes", None)
    assert METADATA_SEMANTIC.for_modalities({}) == METADATA_SEMANTIC


def test_geometric_facts_are_those_of_scenes() -> None:
    scene = make_scene(12, size=64)
    found = METADATA_GEOMETRIC.label({"depth": scene.depth, "normals": scene.normals})
    assert found == pytest.approx(geometric_metadata(scene))


def test_pixels_without_a_measurement_do_not_count() -> None:
    depth = np.full((8, 8), 3.0, np.float32)
    depth[2:4, 2:4] = np.nan
    normals = np.zeros((8, 8, 3), np.float32)
    normals[:4] = (0, 0, 1)
    assert METADATA_GEOMETRIC.label({"depth": depth, "normals": normals}) == {
        "geometric_complexity": pytest.approx(0.0),
        "occlusion_score": 0.0,
    }
    assert METADATA_GEOMETRIC.label({"depth": np.zeros((4, 4), np.float32)}) is None


def test_all_metadata_joins_the_groups() -> None:
    scene = make_scene(12, size=64)
    found = METADATA.label({"rgb": scene.rgb, "caption": "A room.", "depth": scene.depth})
    assert found == pytest.approx(
        {
            "caption_n_chars": 7,
            "caption_n_words": 2,
            "caption_n_sentences": 1,
            "occlusion_score": geometric_metadata(scene)["occlusion_score"],
            **image_metadata(scene),
        }
    )
