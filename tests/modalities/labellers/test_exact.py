"""Exact labellers against scenes, whose maps are known, and against plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modalities.errors import ConfigError
from modalities.labellers.base import with_settings
from modalities.labellers.exact import (
    CANNY_EDGES,
    COLOR_PALETTE,
    METADATA_IMAGE,
    NORMALS_FROM_DEPTH,
    SAM_EDGES,
    instance_map,
)
from modalities.scenes.scene import Scene, make_scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(5, size=96)


def test_edges_of_a_square_surround_it() -> None:
    picture = np.zeros((40, 50, 3), np.uint8)
    picture[10:30, 15:35] = 255
    edges = CANNY_EDGES.label({"rgb": picture})
    rows, columns = np.nonzero(edges)
    distance = np.maximum(np.abs(rows - 19.5), np.abs(columns - 24.5)) - 10
    assert edges.shape == (40, 50)
    assert len(rows) > 60
    assert np.abs(distance).max() <= 1.5


def test_a_wider_filter_leaves_fewer_edges(scene: Scene) -> None:
    wide = with_settings(CANNY_EDGES, {"sigma": 4})
    assert wide.label({"rgb": scene.rgb}).sum() < CANNY_EDGES.label({"rgb": scene.rgb}).sum()
    assert wide.fingerprint() != CANNY_EDGES.fingerprint()


def test_a_palette_holds_the_two_colours_of_a_picture() -> None:
    picture = np.full((10, 10, 3), (200, 30, 40), np.uint8)
    picture[:3] = (10, 20, 250)
    two = with_settings(COLOR_PALETTE, {"num_colors": 2})
    assert two.label({"rgb": picture}) == ((200, 30, 40), (10, 20, 250))


def test_image_metadata_agrees_with_pillow(scene: Scene) -> None:
    found = METADATA_IMAGE.label({"rgb": scene.rgb[:, :80]})
    gray = np.asarray(Image.fromarray(scene.rgb[:, :80]).convert("L"), dtype=np.float64)
    assert (found["original_width"], found["original_height"]) == (80, 96)
    assert found["brightness"] == pytest.approx(gray.mean(), abs=0.6)
    assert found["contrast"] == pytest.approx(gray.std(), abs=0.6)


def test_the_smallest_mask_is_on_top() -> None:
    masks = np.zeros((3, 4, 4), bool)
    masks[0, 1, 1] = True
    masks[1] = True
    masks[2, :2, :2] = True
    assert instance_map(masks).tolist() == [[3, 3, 2, 2], [3, 1, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]]


def test_edges_of_instances_lie_where_the_map_changes() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((3, 7, 9)) < 0.3
    found = SAM_EDGES.label({"sam_instances": masks})
    numbers = instance_map(masks)
    for row in range(7):
        for column in range(9):
            right = column < 8 and numbers[row, column] != numbers[row, column + 1]
            below = row < 6 and numbers[row, column] != numbers[row + 1, column]
            assert found[row, column] == int(right or below)


def test_normals_of_depth_are_those_of_the_scene(scene: Scene) -> None:
    fov = np.degrees(scene.camera.fov)
    found = replace(NORMALS_FROM_DEPTH, fov=float(fov)).label({"depth": scene.depth})
    cosine = (found * scene.normals).sum(-1)
    # At the rims of things and at corners of the room, a difference joins two surfaces.
    inner = np.median(np.degrees(np.arccos(cosine.clip(-1, 1))))
    assert np.allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    assert inner < 1.0
    assert (cosine > 0.98).mean() > 0.75


def test_the_normals_of_a_slope_follow_from_its_equation() -> None:
    """The plane z = 2 - 0.5 x, seen by a camera of 90 degrees, on a picture that is not square."""
    height, width = 20, 40
    focal = 20.0
    x = (np.arange(width) + 0.5 - 20) / focal
    depth = np.broadcast_to(2 / (1 + 0.5 * x), (height, width)).astype(np.float32)
    found = replace(NORMALS_FROM_DEPTH, fov=90.0).label({"depth": depth})
    expected = np.array([-0.5, 0, 1]) / np.sqrt(1.25)
    # Points lie at z = -depth: the surface is depth + 0.5 x = 2.
    assert np.allclose(found, expected * [1, 1, 1], atol=0.01)


def test_missing_depth_gives_missing_normals() -> None:
    depth = np.full((6, 6), 2.0, np.float32)
    depth[2, 3] = 0
    found = replace(NORMALS_FROM_DEPTH, fov=60.0).label({"depth": depth})
    missing = (found == 0).all(-1)
    assert missing[2, 3]
    assert missing[2, 2]
    assert not missing[0, 0]
    assert np.allclose(found[5, 0], [0, 0, 1], atol=1e-6)


def test_normals_without_an_angle_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set normals.fov=60"):
        NORMALS_FROM_DEPTH.prepare()


@pytest.mark.parametrize("settings", [{"sigma": 0.0}, {"low": 0.6}])
def test_settings_of_canny_are_checked(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="needs sigma above 0"):
        with_settings(CANNY_EDGES, settings)
