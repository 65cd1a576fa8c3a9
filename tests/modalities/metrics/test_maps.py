"""Metrics of dense values, each held against numpy or scikit-learn; and what all metrics of arrays have in common."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, jaccard_score
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.metrics.features import feature_vector_metrics
from modalities.metrics.images import rgb_metrics
from modalities.metrics.maps import (
    angles_in_degrees,
    class_map_metrics,
    depth_metrics,
    edge_metrics,
    surface_normal_metrics,
)
from tests.modalities.metrics.metric_cases import compute_metrics, pictures


def depths(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    target = rng.uniform(0.5, 12, (7, 9, 9)).astype(np.float32)
    return (target * rng.uniform(0.6, 1.5, target.shape)).astype(np.float32), target


def unit(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    vectors = rng.standard_normal((*shape, 3))
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return found


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_depth_is_measured_over_all_places_that_have_one(seed: int) -> None:
    prediction, target = depths(seed)
    target[0, :3] = 0
    target[1, 2, 2] = np.nan
    target[2, 4, 4] = np.inf
    found = compute_metrics(depth_metrics(), prediction, target)
    valid = np.isfinite(target) & (target > 0)
    guess, truth = prediction[valid].astype(np.float64), target[valid].astype(np.float64)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((guess - truth) ** 2)), rel=1e-5)
    assert found["abs_rel"] == pytest.approx(np.mean(np.abs(guess - truth) / truth), rel=1e-5)
    assert found["delta1"] == pytest.approx(np.mean(np.maximum(guess / truth, truth / guess) < 1.25), abs=1e-3)


def test_a_depth_of_nothing_is_wrong_where_there_is_one() -> None:
    found = compute_metrics(depth_metrics(), np.zeros((1, 2, 2), np.float32), np.ones((1, 2, 2), np.float32))
    assert found == {"rmse": 1.0, "abs_rel": 1.0, "delta1": 0.0}


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_normals_are_measured_by_the_angle_between_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = unit(rng, 5, 6, 6)
    prediction = target + 0.3 * unit(rng, 5, 6, 6)
    target[0, 0] = 0
    found = compute_metrics(surface_normal_metrics(), prediction, target)
    guess, truth = prediction.reshape(-1, 3)[6:], target.reshape(-1, 3)[6:]
    cosines = (guess * truth).sum(-1) / np.linalg.norm(guess, axis=-1) / np.linalg.norm(truth, axis=-1)
    expected = np.degrees(np.arccos(np.clip(cosines.astype(np.float64), -1, 1)))
    assert found["mean_angle"] == pytest.approx(expected.mean(), abs=1e-3)
    for name, limit in (("under_11_25", 11.25), ("under_22_5", 22.5), ("under_30", 30)):
        assert found[name] == pytest.approx((expected < limit).mean(), abs=1e-6)


def test_angles_are_exact_where_arc_cosines_are_not() -> None:
    one = torch.tensor([[0.0, 0, 1], [0, 0, 2], [1, 0, 0], [0, 0, 0], [0, 0, 1]])
    other = torch.tensor([[0.0, 0, 3], [0, 0, -1], [0, 5, 0], [0, 0, 1], [0, 1e-6, 1]])
    assert angles_in_degrees(one, other).tolist() == pytest.approx(
        [0, 180, 90, 90, np.degrees(1e-6)], abs=1e-12, rel=1e-6
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_class_maps_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 3, 4], (6, 8, 8)).astype(np.uint8)
    prediction = np.where(rng.random(target.shape) < 0.6, target, rng.integers(0, 6, target.shape)).astype(np.uint8)
    found = compute_metrics(class_map_metrics(6), prediction, target)
    truth, guess = target.ravel(), prediction.ravel()
    occurring = np.unique(truth).tolist()
    assert found["miou"] == pytest.approx(jaccard_score(truth, guess, labels=occurring, average="macro"), abs=1e-6)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess), abs=1e-6)


def test_places_of_no_class_are_left_out_and_predictions_of_none_are_wrong() -> None:
    target = np.array([[[0, 1, 255, 255]]], dtype=np.uint8)
    prediction = np.array([[[0, 255, 0, 1]]], dtype=np.uint8)
    assert compute_metrics(class_map_metrics(2), prediction, target) == {"miou": 0.5, "accuracy": 0.5}


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_edges_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, prediction = (rng.random((5, 8, 8)) < share for share in (0.2, 0.3))
    found = compute_metrics(edge_metrics(), prediction.astype(np.uint8), target.astype(np.uint8))
    assert found["f1"] == pytest.approx(f1_score(target.ravel(), prediction.ravel()), abs=1e-6)
    assert found["f1_near"] >= found["f1"] - 1e-6


def test_an_edge_one_pixel_off_is_near_and_two_are_not() -> None:
    target = np.zeros((1, 7, 7), np.uint8)
    target[0, 3] = 1
    beside, beyond = np.roll(target, 1, axis=1), np.roll(target, 2, axis=1)
    assert compute_metrics(edge_metrics(), beside, target) == {"f1": 0.0, "f1_near": 1.0}
    assert compute_metrics(edge_metrics(), beyond, target) == {"f1": 0.0, "f1_near": 0.0}


def test_no_edges_where_there_are_none_is_right() -> None:
    none = np.zeros((2, 4, 4), np.uint8)
    assert compute_metrics(edge_metrics(), none, none) == {"f1": 1.0, "f1_near": 1.0}
    assert compute_metrics(edge_metrics(), none + np.uint8(1), none)["f1"] == 0


Case = tuple[Callable[[], MetricCollection], NDArray[Any], NDArray[Any]]


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, (2, 6, 5, 5)).astype(np.uint8)
    edges = (rng.random((2, 6, 5, 5)) < 0.3).astype(np.uint8)
    features = rng.standard_normal((2, 6, 8)).astype(np.float32)
    return {
        "depth": (depth_metrics, *depths(0)),
        "normals": (surface_normal_metrics, unit(rng, 6, 4, 4), unit(rng, 6, 4, 4)),
        "classes": (lambda: class_map_metrics(4), classes[0], classes[1]),
        "edges": (edge_metrics, edges[0], edges[1]),
        "features": (feature_vector_metrics, features[0], features[1]),
        "pictures": (rgb_metrics, *pictures(0)),
    }


@pytest.mark.parametrize("name", cases())
def test_metrics_are_themselves_inside_a_collection(name: str) -> None:
    """The first batch is right throughout, when states that are called the same would agree by accident."""
    factory, prediction, target = cases()[name]
    right, wrong = torch.from_numpy(target), torch.from_numpy(prediction)
    together = factory().clone(prefix="val/x/")
    alone = dict(factory().items())
    for guess in (right, wrong):
        together.update(guess, right)
        for metric in alone.values():
            metric.update(guess, right)
    found = together.compute()
    assert list(found) == [f"val/x/{key}" for key in alone]
    for key, metric in alone.items():
        assert float(found[f"val/x/{key}"]) == pytest.approx(float(metric.compute()), rel=1e-6)


@pytest.mark.parametrize("name", cases())
def test_metrics_of_two_processes_reduce_to_those_of_one(name: str) -> None:
    factory, prediction, target = cases()[name]
    whole = compute_metrics(factory(), prediction, target)
    first, second = factory(), factory()
    for metrics, part in ((first, slice(0, 4)), (second, slice(4, None))):
        metrics.update(torch.from_numpy(prediction[part]), torch.from_numpy(target[part]))
    for key, metric in first.items():
        other = second[key]
        reductions: dict[str, Any] = dict(metric._reductions)
        for state, reduce in reductions.items():
            one, two = getattr(metric, state), getattr(other, state)
            if isinstance(one, list):
                setattr(metric, state, [*one, *two])
            else:
                setattr(metric, state, reduce(torch.stack([one, two])))
        metric._computed = None
        assert float(metric.compute()) == pytest.approx(whole[key], rel=1e-5)


@pytest.mark.parametrize("name", cases())
def test_metrics_can_be_pickled_and_reset(name: str) -> None:
    factory, prediction, target = cases()[name]
    right = torch.from_numpy(target)
    for metric in factory().values():
        copy = pickle.loads(pickle.dumps(metric))
        copy.update(torch.from_numpy(prediction), right)
        copy.reset()
        copy.update(right, right)
        best: Tensor = copy.compute()
        metric.update(torch.from_numpy(prediction), right)
        other = metric.compute()
        assert best >= other if metric.higher_is_better else best <= other
