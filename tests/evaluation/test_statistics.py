import math

import numpy as np
import pytest
from scipy import stats

from evaluation.route import Route
from evaluation.scores import Score
from evaluation.statistics import SeedSummary, Verdict, compare_arms, group_by_arm, sample_interval, seed_interval


def scores(arm: str, values: list[float], samples: np.ndarray | None = None, *, higher: bool = False) -> list[Score]:
    return [
        Score(
            arm=arm,
            seed=seed,
            route=Route(source="rgb", target="depth"),
            metric="rmse",
            metric_title="RMSE",
            value=value,
            unit="m",
            higher_is_better=higher,
            samples=() if samples is None else tuple(samples[seed].tolist()),
        )
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0, 1.2], [0.7, 0.75]), ([1.0, 1.1, 0.9], [2.0, 2.5]), ([3.0, 3.5, 2.0, 4.0], [1.0, 2.0, 3.0])],
)
def test_the_interval_over_seeds_is_students_two_sample_interval(first: list[float], second: list[float]) -> None:
    found = seed_interval(first, second)
    expected = stats.ttest_ind(second, first, equal_var=True).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_one_seed_gives_no_interval_and_no_verdict() -> None:
    assert seed_interval([1.0], [2.0, 3.0]) is None
    found = compare_arms(scores("a", [1.0]), scores("b", [0.5]))
    assert found.verdict is Verdict.unknown
    assert found.sentence == "one seed: no estimate of noise"
    assert found.mean == -0.5


def test_a_value_that_is_not_finite_gives_no_interval() -> None:
    assert seed_interval([1.0, math.nan], [2.0, 3.0]) is None


def test_the_interval_over_samples_is_the_paired_bootstraps() -> None:
    rng = np.random.default_rng(0)
    hard = rng.gamma(2.0, size=300)
    first, second = (hard + rng.normal(shift, 0.1, size=(2, 300)) for shift in (0.0, -0.02))
    found = sample_interval(first, second, resamples=4000)
    paired = second.mean(0) - first.mean(0)
    expected = stats.bootstrap((paired,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert found is not None
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    assert sample_interval(first, second[:, :7]) is None
    assert sample_interval(None, second) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = [
        interval.low <= 0.3 <= interval.high
        for _ in range(400)
        if (interval := seed_interval(rng.normal(0, 1, 2).tolist(), rng.normal(0.3, 1, 2).tolist())) is not None
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(
    ("second", "higher", "verdict"),
    [
        ([0.5, 0.501], False, Verdict.better),
        ([0.5, 0.501], True, Verdict.worse),
        ([1.5, 1.501], False, Verdict.worse),
        ([1.5, 1.501], True, Verdict.better),
        ([0.7, 1.2], False, Verdict.noise),
    ],
)
def test_a_difference_counts_only_beyond_the_noise_of_seeds(
    second: list[float], higher: bool, verdict: Verdict
) -> None:
    found = compare_arms(scores("a", [1.0, 1.001], higher=higher), scores("b", second, higher=higher))
    assert found.verdict is verdict
    assert "2 seeds" in found.sentence


def test_where_samples_are_known_their_noise_counts_too() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(1.0, 1.0, size=60)
    noisy = base + rng.normal(-0.01, 1.0, size=60)
    steady = base - 0.01
    first = scores("a", [1.0, 1.0], np.stack([base, base]))
    assert compare_arms(first, scores("b", [0.99, 0.99], np.stack([noisy, noisy]))).verdict is Verdict.noise
    assert compare_arms(first, scores("b", [0.99, 0.99], np.stack([steady, steady]))).verdict is Verdict.better


def test_mean_and_deviation_are_the_samples_own() -> None:
    summary = SeedSummary(values=(1.0, 2.0, 4.0))
    assert summary.mean == pytest.approx(np.mean([1, 2, 4]))
    assert summary.std == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert math.isnan(SeedSummary(values=(1.0,)).std)


def test_scores_are_grouped_by_what_they_measure_and_ordered_by_seed() -> None:
    found = [*reversed(scores("b", [1.0, 2.0])), *scores("a", [3.0])]
    grouped = group_by_arm(found)[Route(source="rgb", target="depth"), "rmse"]
    assert list(grouped) == ["a", "b"]
    assert [score.seed for score in grouped["b"]] == [0, 1]
