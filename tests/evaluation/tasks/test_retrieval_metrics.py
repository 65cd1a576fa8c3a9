"""Figures of retrieval against a plain loop and scikit-learn, and their chance levels against enumeration."""

import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

from evaluation.route import Retrieval
from evaluation.tasks.retrieval_metrics import (
    RECALL_AT,
    chance_levels,
    cosine_similarity,
    retrieval_metrics,
    retrieval_scores,
)


def test_metrics_are_those_of_scikit_learn_and_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    similarity, answers = rng.normal(size=(30, 20)).astype(np.float32), rng.integers(0, 20, 30)
    similarity[np.arange(30), answers] += 1
    found = retrieval_metrics(torch.from_numpy(similarity), torch.from_numpy(answers))
    for k in RECALL_AT:
        expected = top_k_accuracy_score(answers, similarity, k=k, labels=np.arange(20))
        assert found[f"recall_at_{k}"].value == pytest.approx(expected)
    one_hot = np.eye(20)[answers]
    assert found["map"].value == pytest.approx(label_ranking_average_precision_score(one_hot, similarity))
    ranks = [sorted(row, reverse=True).index(row[answer]) + 1 for row, answer in zip(similarity, answers, strict=True)]
    assert found["median_rank"].value == pytest.approx(statistics.median(ranks))


def test_equal_similarities_share_their_places() -> None:
    similarity = torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [3.0, 1.0, 0.0]])
    found = retrieval_metrics(similarity, torch.arange(3))
    # Ranks 2 (of 1..3), 1.5 (of 1 and 2), 3.
    assert found["median_rank"].value == 2.0


def test_entries_that_a_query_leaves_out_do_not_count() -> None:
    similarity = torch.tensor([[-torch.inf, 1.0, 0.5], [2.0, -torch.inf, 1.0], [1.0, 3.0, -torch.inf]])
    answers = torch.tensor([2, 0, 1])
    found = retrieval_metrics(similarity, answers)
    assert found["recall_at_1"].value == pytest.approx(2 / 3)
    scores = retrieval_scores(Retrieval(space="s", query=("a",), gallery=("b",)), "arm", 1, similarity, answers)
    assert {score.metric: score.chance for score in scores} == chance_levels(2)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_chance_levels_are_means_over_all_orders(size: int) -> None:
    """Of all places that the answers of three queries can have."""
    places = list(itertools.product(range(1, size + 1), repeat=3))
    expected = chance_levels(size)
    assert expected["median_rank"] == pytest.approx(statistics.mean(statistics.median(item) for item in places))
    assert expected["map"] == pytest.approx(statistics.mean(1 / rank for item in places for rank in item))
    for k in RECALL_AT:
        assert expected[f"recall_at_{k}"] == pytest.approx(
            statistics.mean(rank <= k for item in places for rank in item)
        )


def test_the_cosine_is_that_of_the_vectors() -> None:
    one, other = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0], [0.0, 0.0]])
    torch.testing.assert_close(cosine_similarity(one, other), torch.tensor([[24 / 25, 0.0]]))
    assert math.isclose(float(cosine_similarity(one, one)), 1.0, rel_tol=1e-6)
