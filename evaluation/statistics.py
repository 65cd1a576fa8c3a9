"""Differences between two arms and their noise, over seeds and over held-out samples."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from evaluation.route import AnyRoute
from evaluation.scores import Score

CONFIDENCE_LEVEL = 0.95
"""Confidence of every interval."""


class Verdict(Enum):
    """Significance and direction of a difference."""

    better = "better"
    """The second arm is better beyond noise."""
    worse = "worse"
    """The second arm is worse beyond noise."""
    noise = "noise"
    """The difference is not significant."""
    unknown = "unknown"
    """One seed: the noise cannot be estimated."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True if zero lies outside."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class SeedSummary:
    """Values of one metric of one arm, by seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return math.fsum(self.values) / len(self.values) if self.values else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over seeds, of the sample; NaN for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second arm minus the first, by one metric."""

    first: SeedSummary
    second: SeedSummary
    higher_is_better: bool
    over_seeds: Interval | None
    """Interval over repeated trainings (Student's, two samples); None with fewer than two seeds in an arm."""
    over_samples: Interval | None
    """Interval over held-out samples for these models (paired bootstrap); None without values per sample."""

    @property
    def mean(self) -> float:
        """Difference of the means."""
        return self.second.mean - self.first.mean

    @property
    def verdict(self) -> Verdict:
        """Better or worse only if every available interval excludes zero."""
        if self.over_seeds is None:
            return Verdict.unknown
        intervals = [item for item in (self.over_seeds, self.over_samples) if item is not None]
        if not all(item.excludes_zero for item in intervals):
            return Verdict.noise
        return Verdict.better if (self.mean > 0) == self.higher_is_better else Verdict.worse

    @property
    def sentence(self) -> str:
        """The verdict as text, with the number of seeds behind it."""
        seeds = min(len(self.first.values), len(self.second.values))
        match self.verdict:
            case Verdict.unknown:
                return "one seed: no estimate of noise"
            case Verdict.noise:
                return f"within noise ({seeds} seeds)"
            case Verdict.better | Verdict.worse:
                return f"{self.verdict.value}, beyond noise ({seeds} seeds)"


def compare_arms(
    first: Sequence[Score], second: Sequence[Score], *, resamples: int = 2000, seed: int = 0
) -> Difference:
    """The difference between two arms by one metric; each arm is given as the scores of its seeds."""
    assert first
    assert second
    one, other = (SeedSummary(values=tuple(score.value for score in arm)) for arm in (first, second))
    return Difference(
        first=one,
        second=other,
        higher_is_better=first[0].higher_is_better,
        over_seeds=seed_interval(one.values, other.values),
        over_samples=sample_interval(
            _per_sample_scores(first), _per_sample_scores(second), resamples=resamples, seed=seed
        ),
    )


def seed_interval(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Student's interval of the difference of two means, with equal variances.

    Two or three seeds are too few to estimate the variance of each arm by itself. Pooled, two arms of two seeds leave
    two degrees of freedom, and the interval is 4.3 standard errors to each side. None with fewer than two seeds in an
    arm, or if a value is not finite.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(one), len(other)) < 2 or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return None
    degrees_of_freedom = len(one) + len(other) - 2
    pooled = (((one - one.mean()) ** 2).sum() + ((other - other.mean()) ** 2).sum()) / degrees_of_freedom
    half_width = float(
        stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, degrees_of_freedom)
        * math.sqrt(pooled * (1 / len(one) + 1 / len(other)))
    )
    mean = float(other.mean() - one.mean())
    return Interval(low=mean - half_width, high=mean + half_width)


def sample_interval(
    first: Float[np.ndarray, "seeds n"] | None,
    second: Float[np.ndarray, "others m"] | None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap interval of the paired difference over held-out samples, after averaging over seeds.

    Both arms are measured on the same samples with the same masks, so the difficulty of a sample cancels. None if
    values per sample are missing, or the arms have different numbers of samples.
    """
    if first is None or second is None or first.shape[1] != second.shape[1] or first.shape[1] < 2:
        return None
    difference = second.mean(axis=0) - first.mean(axis=0)
    n = len(difference)
    means = _resample_counts(n, resamples, seed) @ difference / n
    low, high = np.quantile(means, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return Interval(low=float(low), high=float(high))


def group_by_arm(scores: Iterable[Score]) -> Mapping[tuple[AnyRoute, str], dict[str, list[Score]]]:
    """Scores by route and metric, then by arm; those of an arm in order of seed."""
    grouped: dict[tuple[AnyRoute, str], dict[str, list[Score]]] = {}
    for score in sorted(scores, key=lambda item: (item.arm, -1 if item.seed is None else item.seed)):
        grouped.setdefault(score.key, {}).setdefault(score.arm, []).append(score)
    return grouped


@lru_cache(maxsize=2)
def _resample_counts(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Count (resamples, n) of each sample in each bootstrap resample; drawn once, as all metrics share samples."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)


def _per_sample_scores(scores: Sequence[Score]) -> NDArray[np.float64] | None:
    rows = [score.samples for score in scores]
    if not all(rows) or len({len(row) for row in rows}) > 1:
        return None
    return np.array(rows, dtype=np.float64)
