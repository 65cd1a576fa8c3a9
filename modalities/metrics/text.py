"""Metrics of sequences: texts, palettes, numbers in bins. All take lists of values, predictions first."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.text import BLEUScore

from modalities.labels import BOX_CLASSES, COLOR_NAMES, SIZE_NAMES
from modalities.spec import MetricInfo

SampleTerms = Callable[[Any, Any], tuple[float, float]]
"""What one pair of prediction and target adds to a numerator and a denominator."""

FACT_WORDS = frozenset(
    word
    for name in (
        *BOX_CLASSES,
        *COLOR_NAMES,
        *SIZE_NAMES,
        "left",
        "right",
        "front",
        "behind",
        "no",
        "one",
        "two",
        "three",
    )
    for word in name.split()
)
"""Words of a caption that state a fact: classes, colours, sizes, places, counts."""

MAX_DELTA_E = 100.0
"""Distance from black to white in CIELAB: what a missing palette counts as."""


class SampleRatioOfSums(Metric):
    """A sum over samples divided by another: means, F1, panoptic quality and their kind."""

    full_state_update = False
    numerator: Tensor
    denominator: Tensor

    def __init__(self, terms: SampleTerms, *, empty: float = float("nan"), **kwargs: Any) -> None:
        """Take what a pair of values adds, and the result where the denominator stays 0."""
        super().__init__(**kwargs)
        self.terms = terms
        self.empty = empty
        for name in ("numerator", "denominator"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add pairs of values."""
        for prediction, target in zip(predictions, targets, strict=True):
            numerator, denominator = self.terms(prediction, target)
            self.numerator += numerator
            self.denominator += denominator

    def compute(self) -> Tensor:
        """The ratio of the sums."""
        if self.denominator == 0:
            return torch.full_like(self.numerator, self.empty)
        return self.numerator / self.denominator


def split_words(text: str) -> list[str]:
    """Return the words and punctuation marks of a text in lower case."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


class Bleu(BLEUScore):
    """Corpus BLEU-4, 0..1 (Papineni et al. 2002), over lower-case words and punctuation marks.

    Without smoothing: 0 for a corpus of which no four words in a row are right.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Set up the counts."""
        super().__init__(n_gram=4, **kwargs)

    def update(self, preds: Sequence[str], target: Sequence[Any]) -> None:
        """Add pairs of texts."""
        super().update(
            [" ".join(split_words(text)) for text in preds], [[" ".join(split_words(text))] for text in target]
        )


def bag_of_words_f1(prediction: Iterable[str], target: Iterable[str]) -> float:
    """Return the F1 of two bags of words; 1 where both are empty."""
    one, other = Counter(prediction), Counter(target)
    size = one.total() + other.total()
    return 2 * (one & other).total() / size if size else 1.0


def word_f1(prediction: str, target: str) -> float:
    """Return the F1 of two texts' words, each counted as often as it occurs."""
    return bag_of_words_f1(split_words(prediction), split_words(target))


def field_f1(prediction: str, target: str) -> float:
    """Return the F1 of the words of two texts that state a fact (`FIELD_WORDS`)."""
    one, other = ([word for word in split_words(text) if word in FACT_WORDS] for text in (prediction, target))
    return bag_of_words_f1(one, other)


class _MeanTerms:
    """Terms of a mean over samples. A class, so that metrics can be copied and sent to other processes."""

    def __init__(self, score: Callable[[Any, Any], float]) -> None:
        self.score = score

    def __call__(self, prediction: Any, target: Any) -> tuple[float, float]:
        """One sample's score and the count of one."""
        return self.score(prediction, target), 1.0


def exact_match(prediction: str, target: str) -> float:
    """Return 1 where two texts have the same words in the same order, else 0."""
    return float(split_words(prediction) == split_words(target))


def text_metrics() -> dict[str, MetricInfo]:
    """Return fresh metrics of texts: BLEU, word F1, F1 of words that state a fact, share that is right throughout."""
    return {
        "bleu": MetricInfo(metric=Bleu(), unit="share", higher_is_better=True),
        "word_f1": mean_score_metric(word_f1),
        "field_f1": mean_score_metric(field_f1),
        "exact": mean_score_metric(exact_match),
    }


def mean_score_metric(score: Callable[[Any, Any], float]) -> MetricInfo:
    """Return the mean over samples of a score 0..1 of which more is better."""
    return MetricInfo(metric=SampleRatioOfSums(_MeanTerms(score)), unit="share", higher_is_better=True)


def rgb_to_lab(colors: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """Return sRGB colours 0..255 in CIELAB (D65, 2 degrees), by IEC 61966-2-1 and CIE 15."""
    linear = colors / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


Palette = Sequence[tuple[int, int, int]]


def palette_delta_e(prediction: Palette, target: Palette) -> float:
    """Return the mean colour difference (CIE 1976 delta E) of the best one-to-one match of the leading colours.

    Palettes of different lengths are compared over as many leading colours as both have; one that is empty beside one
    that is not counts as `LARGEST_DELTA_E`.
    """
    common = min(len(prediction), len(target))
    if common == 0:
        return 0.0 if len(prediction) == len(target) else MAX_DELTA_E
    one, other = (rgb_to_lab(np.array(palette[:common], dtype=np.float64)) for palette in (prediction, target))
    distances = np.linalg.norm(one[:, None] - other[None], axis=-1)
    return float(distances[linear_sum_assignment(distances)].mean())


def palette_metrics() -> dict[str, MetricInfo]:
    """Return fresh metrics of palettes."""
    metric = SampleRatioOfSums(_MeanTerms(palette_delta_e))
    return {"delta_e": MetricInfo(metric=metric, unit="delta E", higher_is_better=False)}


class BinnedFieldMetric(Metric):
    """A score of bins, averaged over samples for each field, then over the fields that occurred."""

    full_state_update = False
    totals: Tensor
    counts: Tensor

    def __init__(
        self, to_bins: Callable[[Any], Mapping[str, int]], fields: Sequence[str], *, is_accuracy: bool, **kwargs: Any
    ) -> None:
        """Take the function from a value to its bins, and whether equality is scored or the distance.

        A field that the prediction lacks is wrong, and as far off as bin 0 is.
        """
        super().__init__(**kwargs)
        self.to_bins = to_bins
        self.fields = tuple(fields)
        self.is_accuracy = is_accuracy
        for name in ("totals", "counts"):
            self.add_state(name, torch.zeros(len(self.fields)), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add pairs of values."""
        for prediction, target in zip(predictions, targets, strict=True):
            guess, truth = self.to_bins(prediction), self.to_bins(target)
            for index, name in enumerate(self.fields):
                if name in truth:
                    distance = abs(guess.get(name, 0) - truth[name])
                    self.totals[index] += (
                        float(name in guess and distance == 0) if self.is_accuracy else float(distance)
                    )
                    self.counts[index] += 1

    def compute(self) -> Tensor:
        """The mean over the fields that occurred."""
        occurred = self.counts > 0
        return (self.totals[occurred] / self.counts[occurred]).mean()


def binned_field_metrics(to_bins: Callable[[Any], Mapping[str, int]], fields: Sequence[str]) -> dict[str, MetricInfo]:
    """Return fresh metrics of numbers in bins: share of right bins, and distance in bins."""
    return {
        "accuracy": MetricInfo(
            metric=BinnedFieldMetric(to_bins, fields, is_accuracy=True), unit="share", higher_is_better=True
        ),
        "mae": MetricInfo(
            metric=BinnedFieldMetric(to_bins, fields, is_accuracy=False), unit="bins", higher_is_better=False
        ),
    }
