"""Pictures of what has no colours: legible, comparable, and as large as the image."""

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.rendering.colors import (
    class_colors,
    diverging_colors,
    lch_to_rgb,
    render_feature_map,
    render_vector,
    render_vector_rows,
    rgb_to_lab,
    sequential_colors,
)
from modalities.scenes.scene import make_scene
from tests.modalities.scene_cases import view_of

SCALE = ScaleConfig(size=64, patch=8, max_channels=32)
REGISTRY = default_registry()


def test_depth_is_drawn_from_light_to_dark_and_missing_in_gray() -> None:
    drawn = np.asarray(REGISTRY["depth"].render(np.array([[0.5, 3, 6, 11, 0]], np.float32)))[0].astype(int)
    luma = drawn[:4] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) < -10).all()
    assert drawn[4].tolist() == [128, 128, 128]


def test_the_ramp_never_turns_back() -> None:
    luma = sequential_colors(np.linspace(0, 1, 50)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) < 0).all()


def test_lab_agrees_with_scikit_image() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (500, 3)).astype(np.float64)
    assert np.allclose(rgb_to_lab(colors), rgb2lab(colors / 255), atol=1e-2)


def test_colours_agree_with_scikit_image() -> None:
    light, chroma, hue = np.array([20.0, 50.0, 80.0]), np.array([10.0, 30.0, 15.0]), np.array([40.0, 140.0, 280.0])
    lab = np.stack([light, chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))], axis=-1)
    np.testing.assert_allclose(lch_to_rgb(light, chroma, hue), lab2rgb(lab[None])[0] * 255, atol=0.6)


def test_classes_have_colours_of_their_own_that_do_not_depend_on_their_number() -> None:
    colors = class_colors(20).astype(int)
    np.testing.assert_array_equal(colors[:5], class_colors(5))
    lab = rgb2lab(colors[None].astype(np.uint8))[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(20)
    assert apart.min() > 18


@pytest.mark.parametrize("name", ["rgb", "depth", "normals", "semseg", "canny_edges", "clip", "dinov2"])
def test_a_picture_is_at_least_as_large_as_the_image(name: str) -> None:
    modality = REGISTRY[name].scaled(SCALE)
    drawn = modality.render(view_of(modality, make_scene(0, size=64)))
    assert isinstance(drawn, np.ndarray)
    assert drawn.shape == (64, 64, 3)


def test_equal_features_have_equal_colours_whatever_their_length() -> None:
    features = np.random.default_rng(0).standard_normal((2, 2, 16)).astype(np.float32)
    features[1, 1] = 3 * features[0, 0]
    drawn = render_feature_map(features, 4)
    assert drawn.shape == (8, 8, 3)
    np.testing.assert_array_equal(drawn[:4, :4], drawn[4:, 4:])
    assert (drawn[0, 0] != drawn[0, 7]).any()


def test_signs_of_a_vector_are_on_different_sides_and_of_different_colours() -> None:
    drawn = render_vector(np.array([1, -1, 0.5, 0], np.float32)).astype(int)
    ground = drawn[0, -1]
    is_bar = (drawn != ground).any(-1)
    up, down, short, none = (is_bar[:, 4 * index : 4 * index + 3].any(1) for index in range(4))
    assert up[:40].sum() > 20
    assert not up[50:].any()
    assert down[50:].sum() > 20
    assert not down[:46].any()
    assert none.sum() < short.sum() < up.sum()
    red, blue = (diverging_colors(np.array([value]))[0].astype(int) for value in (1.0, -1.0))
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_rows_are_lines_and_no_rows_are_a_picture_all_the_same() -> None:
    assert render_vector_rows(np.ones((5, 200), np.float32)).shape == (20, 256, 3)
    assert render_vector_rows(np.zeros((0, 8), np.float32)).size > 0
