"""Metrics of pictures, held against scikit-image and scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from modalities.metrics.base import collect
from modalities.metrics.images import (
    MAX_PSNR,
    RandomConvFeatures,
    RandomFeatureFrechetDistance,
    frechet_distance,
    rgb_metrics,
)
from tests.modalities.metrics.metric_cases import compute_metrics, pictures


def test_pictures_agree_with_scikit_image() -> None:
    prediction, target = pictures(0)
    found = compute_metrics(rgb_metrics(), prediction, target)
    ratios = [
        peak_signal_noise_ratio(*pair, data_range=255)  # type: ignore[no-untyped-call]
        for pair in zip(target, prediction, strict=True)
    ]
    assert found["psnr"] == pytest.approx(np.mean(ratios), abs=1e-4)
    likeness = [
        structural_similarity(  # type: ignore[no-untyped-call]
            *pair, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for pair in zip(target, prediction, strict=True)
    ]
    assert found["ssim"] == pytest.approx(np.mean(likeness), abs=1e-5)


def test_pictures_smaller_than_a_window_cannot_be_compared() -> None:
    small = torch.zeros(1, 10, 12, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"Pictures of \(10, 12\) pixels are too small for windows of 11"):
        rgb_metrics()["ssim"].update(small, small)


def test_equal_pictures_have_the_best_of_each() -> None:
    _, target = pictures(1)
    found = compute_metrics(rgb_metrics(), target, target)
    assert found["psnr"] == MAX_PSNR
    assert found["ssim"] == pytest.approx(1, abs=1e-5)
    assert found["fid"] == pytest.approx(0, abs=1e-4)


def test_the_frechet_distance_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((30, 6)) @ rng.standard_normal((6, 6)) + rng.standard_normal(6) for _ in range(2))
    moments = [(torch.from_numpy(rows.mean(0)), torch.from_numpy(np.cov(rows.T))) for rows in (one, other)]
    root = np.real(sqrtm(np.cov(one.T) @ np.cov(other.T)))
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(np.cov(one.T) + np.cov(other.T) - 2 * root)
    assert float(frechet_distance(moments[0], moments[1])) == pytest.approx(expected, rel=1e-8)


def test_batches_add_up_to_the_distance_of_all_pictures_together() -> None:
    prediction, target = (torch.from_numpy(part) for part in pictures(2))
    metric = RandomFeatureFrechetDistance()
    metric.update(prediction[:2], target[:2])
    metric.update(prediction[2:], target[2:])
    network = RandomConvFeatures()
    rows = [network(part).double() for part in (prediction, target)]
    expected = frechet_distance(*((part.mean(0), part.T.cov()) for part in rows))
    assert float(metric.compute()) == pytest.approx(float(expected), rel=1e-5)


def test_more_noise_is_further_away() -> None:
    _, target = pictures(3)
    distances = []
    for strength in (5, 20, 80):
        noise = np.random.default_rng(0).normal(0, strength, target.shape)
        prediction = np.clip(target + noise, 0, 255).astype(np.uint8)
        distances.append(compute_metrics(collect(fid=rgb_metrics()["fid"]), prediction, target)["fid"])
    assert distances == sorted(distances)
    assert distances[0] < distances[1] / 2


def test_the_feature_extractor_is_the_same_every_time() -> None:
    images = torch.from_numpy(pictures(0)[1])
    torch.manual_seed(1)
    first = RandomConvFeatures()(images)
    torch.manual_seed(2)
    assert torch.equal(RandomConvFeatures()(images), first)
    assert not any(weight.requires_grad for weight in RandomConvFeatures().parameters())
