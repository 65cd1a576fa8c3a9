"""Canny, held against scikit-image's, and the borders of instances."""

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.feature import canny as reference

from modalities.labellers.canny import canny, instance_edges
from modalities.scenes.scene import make_scene


@pytest.mark.parametrize("sigma", [0.8, 1.0, 2.0])
@pytest.mark.parametrize("size", [64, 112])
def test_edges_are_those_of_scikit_image(size: int, sigma: float) -> None:
    for seed in range(12):
        rgb = make_scene(seed, size=size).rgb
        ours = canny(rgb, sigma=sigma, low=0.15, high=0.4)
        theirs = reference(rgb2gray(rgb), sigma, 0.15, 0.4, mode="constant")  # type: ignore[no-untyped-call]
        # float32 against float64: a tie or a threshold may fall the other way, on at most 2 pixels in a thousand.
        assert np.mean(ours != theirs) < 2e-3


def test_noise_gives_the_edges_of_scikit_image_too() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 44, 3), dtype=np.uint8)
    gray = rgb2gray(rgb)
    ours = canny(rgb, low=0.2, high=0.9)
    theirs = reference(gray, 1.0, 0.2, 0.9, mode="constant")  # type: ignore[no-untyped-call]
    assert ours.shape == (60, 44)
    assert ours.dtype == np.uint8
    assert np.mean(ours != theirs) < 2e-3


def test_a_plain_image_has_no_edges() -> None:
    assert canny(np.full((32, 32, 3), 90, np.uint8)).sum() == 0


def test_a_step_gives_one_line() -> None:
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:, 16:] = 255
    edges = canny(rgb)
    assert set(np.unique(edges)) == {0, 1}
    assert (edges[2:-2].sum(axis=1) >= 1).all()
    assert edges[:, :14].sum() == edges[:, 18:].sum() == 0


def test_weak_edges_stay_only_where_strong_ones_touch_them() -> None:
    rgb = np.zeros((40, 40, 3), np.uint8)
    rgb[:, 20:] = np.linspace(10, 200, 40).astype(np.uint8)[:, None, None]
    joined, alone = canny(rgb, low=0.1, high=0.8), canny(rgb[:14], low=0.1, high=0.8)
    assert joined[8:14].any()
    assert not alone.any()


def test_thresholds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match=r"low <= high, got 0\.5 and 0\.1"):
        canny(np.zeros((8, 8, 3), np.uint8), low=0.5, high=0.1)


def test_instance_edges_lie_between_instances() -> None:
    instances = np.zeros((6, 6), np.int32)
    instances[2:4, 2:4] = 7
    expected = np.zeros((6, 6), np.uint8)
    expected[2:4, 1] = expected[1, 2:4] = expected[2:4, 3] = expected[3, 2:4] = 1
    assert (instance_edges(instances) == expected).all()
    assert instance_edges(np.zeros((5, 5), np.int32)).sum() == 0
