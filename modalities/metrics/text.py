"""Metrics of sequences: texts, palettes, numbers in bins. All take lists of values, predictions first."""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.text import BLEUScore

from modalities.metrics.base import FRACTION, SampleRatioOfSums, collect
from modalities.rendering.colors import rgb_to_lab

MAX_DELTA_E = 100.0
"""Distance from black to white in CIELAB: what a missing palette counts as."""


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of a text in lower case."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


class Bleu(BLEUScore):
    """Corpus BLEU-4, 0..1 (Papineni et al. 2002), over lower-case words and punctuation marks.

    Without smoothing: 0 for a corpus of which no four words in a row are right.
    """

    title, unit = "BLEU", FRACTION

    def __init__(self, **kwargs: Any) -> None:
        """Set up the counts."""
        super().__init__(n_gram=4, **kwargs)

    def update(self, preds: Sequence[str], target: Sequence[Any]) -> None:
        """Add pairs of texts."""
        super().update(
            [" ".join(split_words(text)) for text in preds], [[" ".join(split_words(text))] for text in target]
        )


def bag_of_words_f1(prediction: Iterable[str], target: Iterable[str]) -> float:
    """The F1 of two bags of words; 1 where both are empty."""
    one, other = Counter(prediction), Counter(target)
    size = one.total() + other.total()
    return 2 * (one & other).total() / size if size else 1.0


def word_f1(prediction: str, target: str) -> float:
    """The F1 of two texts' words, each counted as often as it occurs."""
    return bag_of_words_f1(split_words(prediction), split_words(target))


def field_f1(prediction: str, target: str, fact_words: Container[str]) -> float:
    """The F1 of the words of two texts that are among ``fact_words``."""
    one, other = ([word for word in split_words(text) if word in fact_words] for text in (prediction, target))
    return bag_of_words_f1(one, other)


def exact_match(prediction: str, target: str) -> float:
    """1 where two texts have the same words in the same order, else 0."""
    return float(split_words(prediction) == split_words(target))


class WordF1(SampleRatioOfSums):
    """Mean over samples of the F1 of words."""

    higher_is_better = True
    title, unit = "word F1", FRACTION

    def terms(self, prediction: str, target: str) -> tuple[float, float]:
        """One sample's F1, counted once."""
        return word_f1(prediction, target), 1.0


class FieldF1(SampleRatioOfSums):
    """Mean over samples of the F1 of words that state a fact."""

    higher_is_better = True
    title, unit = "field F1", FRACTION

    def __init__(self, fact_words: Iterable[str], **kwargs: Any) -> None:
        """Take the words that state a fact, in lower case."""
        super().__init__(**kwargs)
        self.fact_words = frozenset(fact_words)

    def terms(self, prediction: str, target: str) -> tuple[float, float]:
        """One sample's F1, counted once."""
        return field_f1(prediction, target, self.fact_words), 1.0


class ExactMatch(SampleRatioOfSums):
    """Fraction of texts that are right throughout."""

    higher_is_better = True
    title, unit = "exact", FRACTION

    def terms(self, prediction: str, target: str) -> tuple[float, float]:
        """1 or 0, counted once."""
        return exact_match(prediction, target), 1.0


def text_metrics(fact_words: Iterable[str]) -> MetricCollection:
    """Fresh metrics of texts: BLEU, F1 of words, F1 of ``fact_words``, fraction that is right throughout."""
    return collect(bleu=Bleu(), word_f1=WordF1(), field_f1=FieldF1(fact_words), exact=ExactMatch())


Palette = Sequence[tuple[int, int, int]]


def palette_delta_e(prediction: Palette, target: Palette) -> float:
    """The mean colour difference (CIE 1976 delta E) of the best one-to-one match of the leading colours.

    Palettes of different lengths are compared over as many leading colours as both have; one that is empty beside one
    that is not counts as `MAX_DELTA_E`.
    """
    common = min(len(prediction), len(target))
    if common == 0:
        return 0.0 if len(prediction) == len(target) else MAX_DELTA_E
    one, other = (rgb_to_lab(np.array(palette[:common], dtype=np.float64)) for palette in (prediction, target))
    distances = np.linalg.norm(one[:, None] - other[None], axis=-1)
    return float(distances[linear_sum_assignment(distances)].mean())


class PaletteDeltaE(SampleRatioOfSums):
    """Mean over samples of the colour difference of palettes."""

    higher_is_better = False
    title = unit = "delta E"

    def terms(self, prediction: Palette, target: Palette) -> tuple[float, float]:
        """One sample's difference, counted once."""
        return palette_delta_e(prediction, target), 1.0


def palette_metrics() -> MetricCollection:
    """Fresh metrics of palettes."""
    return collect(delta_e=PaletteDeltaE())


class BinnedFieldMetric(Metric):
    """A score of bins, averaged over samples for each field, then over the fields that occurred."""

    full_state_update = False
    totals: Tensor
    counts: Tensor

    def __init__(self, to_bins: Callable[[Any], Mapping[str, int]], fields: Sequence[str], **kwargs: Any) -> None:
        """Take the function from a value to its bins, and the fields that can occur."""
        super().__init__(**kwargs)
        self.to_bins = to_bins
        self.fields = tuple(fields)
        for name in ("totals", "counts"):
            self.add_state(name, torch.zeros(len(self.fields)), dist_reduce_fx="sum")

    def score(self, guess: int | None, truth: int) -> float:
        """The score of one predicted bin, None where the prediction lacks the field."""
        raise NotImplementedError

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add pairs of values."""
        for prediction, target in zip(predictions, targets, strict=True):
            guess, truth = self.to_bins(prediction), self.to_bins(target)
            for index, name in enumerate(self.fields):
                if name in truth:
                    self.totals[index] += self.score(guess.get(name), truth[name])
                    self.counts[index] += 1

    def compute(self) -> Tensor:
        """The mean over the fields that occurred."""
        occurred = self.counts > 0
        return (self.totals[occurred] / self.counts[occurred]).mean()


class BinAccuracy(BinnedFieldMetric):
    """Fraction of right bins. A missing field is wrong."""

    higher_is_better = True
    title, unit = "accuracy", FRACTION

    def score(self, guess: int | None, truth: int) -> float:
        """1 where the bin is right."""
        return float(guess == truth)


class BinDistance(BinnedFieldMetric):
    """Mean distance in bins. A missing field is as far off as bin 0."""

    higher_is_better = False
    title, unit = "MAE", "bins"

    def score(self, guess: int | None, truth: int) -> float:
        """Distance in bins."""
        return float(abs((guess or 0) - truth))


def binned_field_metrics(to_bins: Callable[[Any], Mapping[str, int]], fields: Sequence[str]) -> MetricCollection:
    """Fresh metrics of numbers in bins: fraction of right bins, and distance in bins."""
    return collect(accuracy=BinAccuracy(to_bins, fields), mae=BinDistance(to_bins, fields))
