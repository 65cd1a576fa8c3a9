"""Proxies for feature extractors: shapes, determinism, and that they follow the scene's contents."""

import numpy as np
import pytest

from modalities.scenes.proxies import PROXY_NAMES, feature_map, feature_vector, text_embedding
from modalities.scenes.scene import make_scene


@pytest.mark.parametrize("proxy", PROXY_NAMES)
@pytest.mark.parametrize(("size", "grid", "channels"), [(64, 8, 64), (112, 8, 32), (224, 14, 512), (224, 16, 768)])
def test_maps_and_vectors_have_the_asked_shape_and_scale(proxy: str, size: int, grid: int, channels: int) -> None:
    scene = make_scene(2, size=size)
    features = feature_map(scene, grid=grid, channels=channels, proxy=proxy)
    vector = feature_vector(scene, channels=channels, proxy=proxy)
    assert features.shape == (grid, grid, channels)
    assert vector.shape == (channels,)
    assert features.dtype == vector.dtype == np.float32
    assert 0.3 < features.std() < 1
    assert 0.3 < vector.std() < 1
    assert (features == feature_map(make_scene(2, size=size), grid=grid, channels=channels, proxy=proxy)).all()


def test_proxys_differ() -> None:
    scene = make_scene(2)
    maps = [feature_map(scene, grid=8, channels=16, proxy=proxy) for proxy in PROXY_NAMES]
    assert np.abs(maps[0] - maps[1]).mean() > 0.1
    assert np.abs(maps[1] - maps[2]).mean() > 0.1


@pytest.mark.parametrize("proxy", PROXY_NAMES)
def test_cells_of_one_class_are_more_alike_than_cells_of_two(proxy: str) -> None:
    same, other = [], []
    for seed in range(12):
        scene = make_scene(seed)
        features = feature_map(scene, grid=8, channels=64, proxy=proxy).reshape(64, -1)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        label = scene.classes[4::8, 4::8].ravel()
        alike = features @ features.T
        is_same = label[:, None] == label
        same.append(alike[is_same].mean())
        other.append(alike[~is_same].mean())
    assert np.mean(same) > np.mean(other) + 0.2


@pytest.mark.parametrize("proxy", PROXY_NAMES)
def test_a_scene_at_two_sizes_has_similar_features(proxy: str) -> None:
    small, large = (feature_map(make_scene(4, size=s), grid=8, channels=64, proxy=proxy) for s in (64, 128))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


def test_an_unknown_proxy_is_refused() -> None:
    with pytest.raises(ValueError, match="No feature proxy named 'dino'"):
        feature_map(make_scene(1), grid=8, channels=8, proxy="dino")


def test_text_embeddings_have_one_row_per_word_up_to_the_limit() -> None:
    rows = text_embedding("A red ball, and a box.", channels=32, max_tokens=77)
    assert rows.shape == (8, 32)
    assert rows.dtype == np.float32
    assert (text_embedding("a red ball , and a box .", channels=32, max_tokens=77) == rows).all()
    assert text_embedding("a b c d", channels=8, max_tokens=2).shape == (2, 8)
    assert text_embedding("", channels=8, max_tokens=5).shape == (0, 8)
    assert 0.8 < text_embedding(" ".join(map(str, range(60))), channels=64, max_tokens=60).std() < 1.2


def test_a_words_vector_depends_on_its_neighbours_but_not_only_on_them() -> None:
    first, second = (text_embedding(f"a {w} ball", channels=64, max_tokens=9) for w in ("red", "blue"))
    alike = np.corrcoef(first[2], second[2])[0, 1]
    assert 0.5 < alike < 0.99
