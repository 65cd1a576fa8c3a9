"""Retrieval by a model that has learnt its small world, against embeddings that are computed one by one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.config import EvaluationConfig, RetrievalPair
from evaluation.route import Retrieval, parse_route
from evaluation.samples import EvalSplit
from evaluation.tasks.base import TaskContext
from evaluation.tasks.retrieval import RetrievalTask, has_modalities, hide_places, measure_pairs, shown_places
from modalities.errors import ConfigError
from networks.generation.predict import encoder_features
from networks.masking.masker import select


def with_pairs(context: TaskContext, *pairs: RetrievalPair) -> TaskContext:
    return replace(context, config=replace(context.config, retrieval=list(pairs)))


def test_scores_are_those_of_embeddings_one_by_one(context: TaskContext) -> None:
    pair = RetrievalPair(query=["rgb", "caption"], gallery=["shade"])
    result = RetrievalTask().run(with_pairs(context, pair))
    found = {score.metric: score.value for score in result.scores}
    model, rows = context.model, {}
    for key, names in (("query", ["rgb_pixels", "caption"]), ("gallery", ["shade"])):
        vectors = []
        for number in range(40):
            samples = context.held_out.tokens.read([number], names)
            with torch.no_grad():
                outputs = encoder_features(model, select(samples, model.streams, inputs=names, targets=[]))
            vectors.append(outputs[0].mean(dim=0).numpy())
        rows[key] = np.stack(vectors) / np.linalg.norm(np.stack(vectors), axis=1, keepdims=True)
    similarity = rows["query"] @ rows["gallery"].T
    ranks = (similarity > np.diag(similarity)[:, None]).sum(axis=1) + 1
    # Samples of equal levels have equal vectors, whose order is that of their last digits.
    assert found["median_rank"] == pytest.approx(np.median(ranks), abs=1)
    assert found["map"] == pytest.approx((1 / ranks).mean(), abs=0.02)
    assert result.scores[0].num_samples == 40
    assert result.scores[0].chance == pytest.approx(1 / 40)
    assert result.scores[0].route == Retrieval(space="encoder", query=("rgb", "caption"), gallery=("shade",))


def test_half_of_a_picture_finds_the_whole_far_above_chance(context: TaskContext) -> None:
    result = RetrievalTask().run(with_pairs(context, RetrievalPair(query=["shade"], gallery=["shade"], share=0.5)))
    (score,) = [score for score in result.scores if score.metric == "recall_at_10"]
    assert score.chance == pytest.approx(0.25)
    assert score.value > 0.5


def test_a_share_of_the_places_is_shown_whatever_the_batch(context: TaskContext) -> None:
    samples = context.held_out.tokens.read(range(6), ["rgb_pixels", "caption"])
    batch = select(samples, context.model.streams, inputs=["rgb_pixels", "caption"], targets=[])
    indices = np.arange(6)
    hidden = hide_places(batch, context.model.streams, 0.5, indices, seed=1)
    is_pixel = batch.stream == context.model.index["rgb_pixels"]
    assert ((hidden.visible & is_pixel).sum(dim=1) == 2).all()
    assert torch.equal(hidden.visible & ~is_pixel, batch.visible & ~is_pixel)
    alone = [shown_places(4, 0.5, 1, number) for number in range(6)]
    assert torch.equal((hidden.visible & is_pixel)[:, :4], torch.stack(alone))
    assert len({tuple(row.tolist()) for row in alone}) > 1


def test_samples_that_lack_a_modality_are_neither_queries_nor_answers(context: TaskContext) -> None:
    shades = [None if number % 4 == 0 else number for number in range(40)]
    held_out = EvalSplit(
        values={**context.held_out.values, "shade": shades},
        tokens=context.held_out.tokens,
        streams=context.held_out.streams,
        num_samples=40,
    )
    assert has_modalities(held_out, ["rgb", "shade"], 40).tolist() == [n for n in range(40) if n % 4]
    result = RetrievalTask().run(
        with_pairs(replace(context, held_out=held_out), RetrievalPair(query=["rgb"], gallery=["shade"]))
    )
    assert {score.num_samples for score in result.scores} == {30}


def test_a_set_of_modalities_is_embedded_once(context: TaskContext) -> None:
    calls: list[tuple[str, ...]] = []

    def embed(names: Sequence[str], share: float, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        calls.append(tuple(names))
        return np.random.default_rng(0).normal(size=(len(indices), 3)).astype(np.float32)

    pairs = [RetrievalPair(query=["rgb"], gallery=["shade"]), RetrievalPair(query=["shade"], gallery=["rgb"])]
    config = replace(context.config, batch_size=40)
    scores, skipped = measure_pairs(embed, pairs, "s", context.held_out, config, "arm", 0)
    assert sorted(calls) == [("rgb",), ("shade",)]
    assert not skipped
    assert {str(score.route) for score in scores} == {"retrieval:s:rgb->shade", "retrieval:s:shade->rgb"}


def test_what_the_model_cannot_see_is_said(context: TaskContext) -> None:
    result = RetrievalTask().run(with_pairs(context, RetrievalPair(query=["audio"], gallery=["rgb"])))
    assert not result.scores
    assert result.skipped == ["evaluation.retrieval audio to rgb: the model cannot see audio"]
    assert not RetrievalTask().run(context).scores


def test_a_route_of_retrieval_is_read_back() -> None:
    for route in (
        Retrieval(space="encoder", query=("caption", "depth"), gallery=("rgb",), share=0.5),
        Retrieval(space="binding", query=("rgb",), gallery=("caption", "depth")),
    ):
        assert parse_route(str(route), route.target) == route
    with pytest.raises(ValueError, match="is no retrieval"):
        Retrieval.parse("retrieval:encoder->rgb")


def test_pairs_that_mean_nothing_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"query": ["rgb"], "gallery": ["rgb"]}, "finds itself"),
        ({"query": ["rgb"]}, "needs a query and a gallery"),
        ({"query": ["rgb"], "gallery": ["depth"], "share": 0.0}, "share must lie in"),
    ]
    for settings, message in cases:
        with pytest.raises(ConfigError, match=message):
            RetrievalPair(**settings)
    assert EvaluationConfig().retrieval == []
