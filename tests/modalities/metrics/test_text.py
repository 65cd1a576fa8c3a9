"""Metrics of texts, palettes and bins, against computations of their own."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from modalities.builtin.metadata_image import MODALITY as IMAGE
from modalities.labels import fact_words
from modalities.metrics.text import (
    MAX_DELTA_E,
    Bleu,
    field_f1,
    palette_delta_e,
    palette_metrics,
    text_metrics,
    word_f1,
)

COLORS = st.tuples(*[st.integers(0, 255)] * 3)


def test_word_f1_is_the_overlap_of_bags() -> None:
    # 3 of 4 predicted words are among the 5 of the target.
    assert word_f1("a red red ball", "A big red ball .") == pytest.approx(2 * 3 / 9)
    assert word_f1("", "") == 1
    assert word_f1("a", "") == 0


WORDS = fact_words(["ball", "Traffic light"])


def test_words_that_state_a_fact_are_those_of_names_in_lower_case() -> None:
    assert {"ball", "traffic", "light", "red", "small", "left", "two"} <= WORDS
    assert not {"car", "Traffic", "the", "here"} & WORDS
    assert field_f1("a red car", "a red ball", fact_words(["ball", "car"])) == pytest.approx(0.5)
    assert field_f1("a red car", "a red ball", fact_words([])) == 1


def test_field_f1_looks_at_words_that_state_a_fact() -> None:
    assert field_f1("there is a red ball", "here was some red ball", WORDS) == 1
    assert field_f1("a red ball", "a blue ball", WORDS) == pytest.approx(0.5)


def test_texts_differ_only_by_words_not_by_case_or_spacing() -> None:
    for name, metric in text_metrics(WORDS).items():
        metric.update(["A red ball, on the left."], ["a red ball , on the left ."])
        assert metric.compute() == pytest.approx(1), name


def test_bleu_is_that_of_its_definition() -> None:
    # Right are 5 of 6 words, 4 of 5 pairs, 3 of 4 triples, 2 of 3 quadruples; 6 words stand for 7.
    metric = Bleu()
    metric.update(["a cat sleeps under the chair"], ["a cat sleeps under the old table"])
    expected = np.prod([5 / 6, 4 / 5, 3 / 4, 2 / 3]) ** 0.25 * np.exp(1 - 7 / 6)
    assert metric.compute() == pytest.approx(expected, rel=1e-5)


def test_bleu_of_nothing_is_zero() -> None:
    metric = Bleu()
    metric.update([""], ["a ball"])
    assert metric.compute() == 0


@given(prediction=st.lists(COLORS, max_size=4), target=st.lists(COLORS, max_size=4))
def test_palettes_are_matched_in_the_best_way(
    prediction: list[tuple[int, int, int]], target: list[tuple[int, int, int]]
) -> None:
    common = min(len(prediction), len(target))
    found = palette_delta_e(prediction, target)
    if common == 0:
        assert found == (0 if len(prediction) == len(target) else MAX_DELTA_E)
        return
    one, other = (rgb2lab(np.array(colors[:common]) / 255.0) for colors in (prediction, target))
    best = min(
        np.linalg.norm(one - other[list(order)], axis=1).mean() for order in itertools.permutations(range(common))
    )
    assert found == pytest.approx(best, abs=0.02)


def test_black_and_white_are_as_far_apart_as_can_be() -> None:
    metric = palette_metrics()["delta_e"]
    metric.update([((0, 0, 0),), ((1, 2, 3),)], [((255, 255, 255),), ((1, 2, 3),)])
    assert metric.compute() == pytest.approx(50, abs=0.1)


def test_bins_are_averaged_over_samples_then_fields() -> None:
    metrics = IMAGE.metrics()
    truths = [{"entropy": 5.0, "contrast": 10.0}, {"entropy": 5.0}]
    guesses = [{"entropy": 5.0}, {"entropy": 5.0 + 2 * 10 / 49}]
    metrics.update(guesses, truths)
    # Entropy: one of two right, 2 bins off on one. Contrast: missing, so wrong, and 3 bins (10 / 127 * 49) from bin 0.
    assert metrics["accuracy"].compute() == pytest.approx((1 / 2 + 0) / 2)
    assert metrics["mae"].compute() == pytest.approx((1 + 3) / 2)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        text_metrics(WORDS)["word_f1"].update(["a"], [])
