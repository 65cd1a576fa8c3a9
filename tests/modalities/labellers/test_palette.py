"""Dominant colours."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from modalities.labellers.palette import dominant_colors
from modalities.scenes.scene import make_scene


def distortion(rgb: np.ndarray, colors: np.ndarray) -> float:
    """Return the mean squared distance of pixels to the nearest of some colours."""
    away = (rgb.reshape(-1, 1, 3).astype(float) - colors[None].astype(float)) ** 2
    return float(away.sum(axis=2).min(axis=1).mean())


def test_distinct_colors_come_back_by_share() -> None:
    rgb = np.zeros((10, 10, 3), np.uint8)
    rgb[:, 5:8], rgb[:, 8:] = (255, 0, 0), (0, 0, 250)
    assert dominant_colors(rgb, 3).tolist() == [[0, 0, 0], [255, 0, 0], [0, 0, 250]]


@pytest.mark.parametrize("k", range(1, 8))
def test_every_k_gives_k_colors_and_the_same_each_time(k: int) -> None:
    rgb = make_scene(3).rgb
    colors = dominant_colors(rgb, k)
    assert colors.shape == (k, 3)
    assert colors.dtype == np.uint8
    assert (colors == dominant_colors(rgb, k)).all()


def test_too_few_colors_repeat_the_first() -> None:
    rgb = np.full((8, 8, 3), 33, np.uint8)
    assert dominant_colors(rgb, 4).tolist() == [[33, 33, 33]] * 4


def test_colors_are_nearly_as_good_as_those_of_full_k_means() -> None:
    ratios = []
    for seed in range(8):
        rgb = make_scene(seed).rgb
        best = KMeans(5, n_init=4, random_state=0).fit(rgb.reshape(-1, 3)).cluster_centers_
        ratios.append(distortion(rgb, dominant_colors(rgb, 5)) / distortion(rgb, best))
    assert np.mean(ratios) < 1.5


def test_no_colors_are_refused() -> None:
    with pytest.raises(ValueError, match="got k=0"):
        dominant_colors(np.zeros((4, 4, 3), np.uint8), 0)
