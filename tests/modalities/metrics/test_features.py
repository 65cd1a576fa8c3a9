"""Metrics of features, held against numpy and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from modalities.metrics.features import MAX_ROWS, NearestNeighborAccuracy, feature_vector_metrics, sample_cell_indices
from tests.modalities.metrics.metric_cases import compute_metrics


def test_features_find_their_own_as_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    target = rng.standard_normal((40, 12)).astype(np.float32)
    prediction = (target + 1.2 * rng.standard_normal(target.shape)).astype(np.float32)
    found = compute_metrics(feature_vector_metrics(), prediction, target)
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(target).kneighbors(prediction)[1][:, 0]
    assert 0.1 < found["nearest"] < 0.9
    assert found["nearest"] == pytest.approx((nearest == np.arange(40)).mean())
    cosines = (prediction * target).sum(1) / np.linalg.norm(prediction, axis=1) / np.linalg.norm(target, axis=1)
    assert found["cosine"] == pytest.approx(cosines.mean(), abs=1e-5)


def test_missing_features_are_left_out() -> None:
    target = np.eye(4, dtype=np.float32)
    prediction = target.copy()
    target[1], target[2, 2] = 0, np.nan
    assert compute_metrics(feature_vector_metrics(), prediction, target) == {"cosine": 1.0, "nearest": 1.0}


def test_equal_targets_do_no_harm_and_a_constant_finds_one_of_many() -> None:
    target = np.concatenate([np.eye(5), np.eye(5)]).astype(np.float32)
    assert compute_metrics(feature_vector_metrics(), target, target)["nearest"] == 1
    constant = np.broadcast_to(np.array([5, 4, 3, 2, 1], np.float32), (5, 5)).copy()
    assert compute_metrics(feature_vector_metrics(), constant, np.eye(5, dtype=np.float32))["nearest"] == pytest.approx(
        0.2
    )


def test_feature_maps_take_part_with_cells_spread_over_the_grid() -> None:
    assert sample_cell_indices(64).tolist() == [4, 12, 20, 28, 36, 44, 52, 60]
    assert sample_cell_indices(3).tolist() == [0, 1, 2]
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((4, 8, 8, 16)).astype(np.float32)
    metric = NearestNeighborAccuracy()
    metric.update(torch.from_numpy(maps), torch.from_numpy(maps))
    np.testing.assert_array_equal(metric.targets[0], maps.reshape(4, 64, 16)[:, 4::8].reshape(-1, 16))


def test_the_rows_that_neighbours_are_looked_for_among_are_bounded() -> None:
    metric = NearestNeighborAccuracy(max_rows=10)
    for _ in range(4):
        rows = torch.randn(4, 6)
        metric.update(rows, rows)
    assert sum(len(rows) for rows in metric.targets) == 10
    assert float(metric.compute()) == 1
    assert MAX_ROWS**2 * 4 < 20e6
