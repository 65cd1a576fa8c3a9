"""What all metrics share: ratios of sums in the precision they say, and collections in the order given."""

from typing import Any

import numpy as np
import pytest
import torch

from modalities.metrics.base import FRACTION, RatioOfSums, SampleRatioOfSums, collect
from modalities.registry import default_registry

REGISTRY = default_registry()


class Mean(RatioOfSums):
    title, unit, higher_is_better = "mean", "m", False

    def terms(self, prediction: Any, target: Any) -> tuple[Any, Any]:
        return (prediction - target).sum(), len(target)


class SampleMean(SampleRatioOfSums):
    title, unit, higher_is_better = "mean", "m", False

    def terms(self, prediction: float, target: float) -> tuple[float, float]:
        return prediction - target, 1.0


class OneIfEmpty(SampleMean):
    value_if_empty = 1.0


def test_batches_are_summed_in_double_precision() -> None:
    metric = Mean()
    for value in (1e8, 1.0, -1e8):
        metric.update(torch.tensor([value], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert metric.compute().item() == np.float32(1 / 3)
    assert metric.compute().dtype == torch.float32


def test_pairs_are_summed_in_single_precision() -> None:
    metric = SampleMean()
    metric.update([0.1, 0.2, 0.7], [0.0, 0.0, 0.0])
    expected = np.float32(0)
    for value in (0.1, 0.2, 0.7):
        expected += np.float32(value)
    assert metric.compute().item() == expected / np.float32(3)


def test_a_ratio_of_nothing_is_what_its_class_says() -> None:
    for metric, expected in ((Mean(), float("nan")), (OneIfEmpty(), 1.0)):
        metric.update(torch.zeros(0), torch.zeros(0))
        assert metric.compute().item() == pytest.approx(expected, nan_ok=True)


def test_a_collection_keeps_the_order_given_and_merges_nothing() -> None:
    metrics = collect(second=Mean(), first=SampleMean()).clone(prefix="val/")
    assert list(metrics) == ["val/second", "val/first"]
    metrics.update(torch.tensor([3.0]), torch.tensor([1.0]))
    assert {name: value.item() for name, value in metrics.compute().items()} == {"val/second": 2.0, "val/first": 2.0}
    assert metrics.compute_groups == {}


@pytest.mark.parametrize("name", REGISTRY)
def test_every_metric_says_how_a_table_shows_it(name: str) -> None:
    metrics = REGISTRY[name].metrics()
    assert len({str(metric.title) for metric in metrics.values()}) == len(metrics)
    for metric in metrics.values():
        assert metric.unit
        assert isinstance(metric.higher_is_better, bool)


def test_the_first_metric_is_the_one_that_a_table_shows() -> None:
    first = {name: next(iter(REGISTRY[name].metrics().values())) for name in ("rgb", "depth", "semseg", "caption")}
    assert [(str(metric.title), str(metric.unit)) for metric in first.values()] == [
        ("PSNR", "dB"),
        ("RMSE", "m"),
        ("mIoU", FRACTION),
        ("BLEU", FRACTION),
    ]
