"""Metadata, held against Pillow, scipy, scikit-image and cases worked by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import shannon_entropy

from modalities.labellers.metadata import (
    caption_counts,
    geometric_complexity,
    image_statistics,
    instance_counts,
    objectness,
    occlusion_score,
    semantic_diversity,
    walkability,
)
from modalities.labels import CLASSES
from modalities.scenes.scene import make_scene


@pytest.mark.parametrize("seed", range(5))
def test_image_statistics_agree_with_other_libraries(seed: int) -> None:
    rgb = make_scene(seed).rgb
    found = image_statistics(rgb)
    r, g, b = np.moveaxis(rgb.astype(np.float64), 2, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    assert found["brightness"] == pytest.approx(luma.mean(), rel=1e-4)
    assert found["contrast"] == pytest.approx(luma.std(), rel=1e-4)
    entropy = shannon_entropy(luma.astype(np.uint8))  # type: ignore[no-untyped-call]
    assert found["entropy"] == pytest.approx(entropy, abs=0.02)
    hsv = np.asarray(Image.fromarray(rgb).convert("HSV"))
    assert found["saturation"] == pytest.approx(hsv[..., 1].mean(), abs=1.0)
    spread = np.sqrt((r - g).var() + ((r + g) / 2 - b).var())
    offset = np.sqrt((r - g).mean() ** 2 + ((r + g) / 2 - b).mean() ** 2)
    assert found["colorfulness"] == pytest.approx(spread + 0.3 * offset, rel=1e-4)


def test_a_gray_image_has_no_color_and_no_entropy() -> None:
    found = image_statistics(np.full((8, 8, 3), 128, np.uint8))
    assert found["colorfulness"] == pytest.approx(0)
    assert found["saturation"] == found["entropy"] == 0
    assert found["brightness"] == pytest.approx(128, abs=1e-3)


def test_geometric_complexity_is_zero_for_a_plane_and_one_for_opposites() -> None:
    plane = np.zeros((4, 4, 3), np.float32)
    plane[..., 2] = 1
    assert geometric_complexity(plane) == pytest.approx(0)
    plane[:2] *= -1
    assert geometric_complexity(plane) == pytest.approx(1)


def test_occlusion_score_is_the_share_of_large_sobel_magnitudes() -> None:
    for seed in range(5):
        depth = make_scene(seed).depth
        scaled = (depth - depth.min()) / (depth.max() - depth.min())
        size = np.hypot(ndimage.sobel(scaled, 0, mode="nearest"), ndimage.sobel(scaled, 1, mode="nearest"))
        assert occlusion_score(depth) == pytest.approx((size > 0.3).mean(), abs=1e-3)
    assert occlusion_score(np.ones((8, 8), np.float32)) == 0


def test_class_shares_are_counted_by_hand() -> None:
    classes = np.full((4, 4), CLASSES.index("wall"), np.uint8)
    classes[2:] = CLASSES.index("grass")
    classes[0, :2] = CLASSES.index("ball")
    assert walkability(classes) == 0.5
    assert objectness(classes) == 0.125
    assert semantic_diversity(classes) == 3


def test_captions_are_counted() -> None:
    assert caption_counts("a red ball. there is one box") == {"characters": 28, "words": 7, "sentences": 2}
    assert caption_counts("") == {"characters": 0, "words": 0, "sentences": 0}


def test_instances_are_counted() -> None:
    expected = {"humans": 1, "instances": 4, "things": 3, "diversity": 3}
    assert instance_counts(["ball", "ball", "person", "can"]) == expected
