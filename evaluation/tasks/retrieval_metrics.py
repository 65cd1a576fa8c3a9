"""Figures of retrieval from similarities, with their exact chance levels."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics.retrieval import RetrievalMAP, RetrievalRecall

from evaluation.metric_set import MetricValue
from evaluation.route import Retrieval
from evaluation.scores import Score
from modalities.metrics.base import FRACTION

RECALL_AT = (1, 5, 10)
"""Numbers of first answers among which the right one counts as found."""
MEDIAN_RANK, MEAN_AVERAGE_PRECISION = "median_rank", "map"
ZERO_SHOT_ACCURACY = "zero_shot_accuracy"


def recall_name(k: int) -> str:
    """Name of the metric recall at ``k``."""
    return f"recall_at_{k}"


def cosine_similarity(queries: Float[Tensor, "q d"], gallery: Float[Tensor, "g d"]) -> Float[Tensor, "q g"]:
    """Cosine of the angle between each query and each entry of the gallery; 0 for vectors of length 0."""
    return torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(gallery, dim=1).T


def retrieval_metrics(similarity: Float[Tensor, "q g"], answers: Int[Tensor, " q"]) -> dict[str, MetricValue]:
    """Recall at 1, 5 and 10, median rank, and mean average precision of queries with one right answer each.

    With one right answer, the average precision of a query is the reciprocal of its rank. Of equal similarities, the
    rank is the mean of the places that they share.

    Args:
        similarity: Of each query with each entry of the gallery; -inf for an entry that a query leaves out.
        answers: The entry that each query belongs to.
    """
    num_queries, size = similarity.shape
    target = torch.zeros_like(similarity, dtype=torch.bool)
    target[torch.arange(num_queries), answers] = True
    kept = ~torch.isinf(similarity)
    rows = torch.arange(num_queries)[:, None].expand(-1, size)
    # torchmetrics counts answers whose similarity is not positive as not found.
    positive = similarity[kept].double() - similarity[kept].double().amin() + 1
    flat = (positive, target[kept], rows[kept])
    values = {}
    for k in RECALL_AT:
        recall = RetrievalRecall(top_k=k)(flat[0], flat[1], indexes=flat[2])
        values[recall_name(k)] = _value(float(recall), f"recall at {k}", FRACTION, higher_is_better=True)
    rank = float(answer_ranks(similarity, answers).quantile(0.5))
    values[MEDIAN_RANK] = _value(rank, "median rank", "", higher_is_better=False)
    precision = RetrievalMAP()(flat[0], flat[1], indexes=flat[2])
    values[MEAN_AVERAGE_PRECISION] = _value(float(precision), "mAP", FRACTION, higher_is_better=True)
    return values


def answer_ranks(similarity: Float[Tensor, "q g"], answers: Int[Tensor, " q"]) -> Float[Tensor, " q"]:
    """The place of each query's answer, 1 for the first; equal similarities share the mean of their places."""
    own = similarity[torch.arange(len(answers)), answers][:, None]
    return 1 + (similarity > own).sum(dim=1) + ((similarity == own).sum(dim=1) - 1) / 2


def chance_levels(size: int) -> dict[str, float]:
    """The expectation of each metric where the order of a gallery of ``size`` entries is drawn at random.

    Recall at k is min(k, n) / n; the rank is uniform on 1..n, so that its median is (n + 1) / 2 and the mean of its
    reciprocal is the n-th harmonic number over n.
    """
    harmonic = sum(1 / rank for rank in range(1, size + 1))
    recalls = {recall_name(k): min(k, size) / size for k in RECALL_AT}
    return {**recalls, MEDIAN_RANK: (size + 1) / 2, MEAN_AVERAGE_PRECISION: harmonic / size}


def retrieval_scores(
    route: Retrieval, arm: str, seed: int, similarity: Float[Tensor, "q g"], answers: Int[Tensor, " q"]
) -> list[Score]:
    """One score for each metric, with its chance level.

    Args:
        similarity: All queries leave out equally many entries of the gallery.
    """
    chance = chance_levels(int((~torch.isinf(similarity[0])).sum()))
    return [
        Score(
            arm=arm,
            seed=seed,
            route=route,
            metric=name,
            metric_title=item.title,
            value=item.value,
            unit=item.unit,
            higher_is_better=item.higher_is_better,
            chance=chance[name],
            num_samples=len(similarity),
        )
        for name, item in retrieval_metrics(similarity, answers).items()
    ]


def _value(value: float, title: str, unit: str, *, higher_is_better: bool) -> MetricValue:
    return MetricValue(value=value, title=title, unit=unit, higher_is_better=higher_is_better)
