"""Chained routes: the last step sees what was generated before it, and the report shows the direct route beside it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.report.rows import chain_rows, metric_rows
from evaluation.route import Route
from evaluation.tasks.base import TaskContext
from evaluation.tasks.chains import measure_chain
from evaluation.tasks.measure import measure_model
from modalities.errors import ConfigError
from networks.generation.predict import predict_grid
from networks.masking.masker import select

CHAIN = Route(source="rgb", via=("shade",), target="glow")


def test_a_chains_last_step_sees_the_source_and_what_was_generated(context: TaskContext) -> None:
    config = replace(context.config, argmax=["shade", "glow"], num_pictures=40)
    measured = measure_chain(replace(context, config=config), CHAIN)
    assert measured.route == CHAIN
    model, samples = context.model, context.held_out.tokens.read(np.arange(40), ["rgb_pixels", "shade"])
    pixels = {"rgb_pixels": samples["rgb_pixels"]}
    with torch.no_grad():
        shade = predict_grid(
            model, model.encode(select(pixels, model.streams, inputs=["rgb_pixels"], targets=[])), "shade"
        ).ids
        both = {**pixels, "shade": replace(samples["shade"], values=shade.view(samples["shade"].values.shape))}
        encoded = model.encode(select(both, model.streams, inputs=list(both), targets=[]))
        expected = predict_grid(model, encoded, "glow").ids
    truth = context.codec.decode("glow", expected).values
    np.testing.assert_allclose(np.stack(measured.example_predictions), np.stack(truth), atol=1e-5)


def test_the_rows_of_a_chain_stand_beside_the_direct_routes(context: TaskContext) -> None:
    config = replace(context.config, chains=[list(CHAIN.names), ["rgb", "shade", "nowhere"]])
    result = measure_model(replace(context, common_inputs=("rgb_pixels",), config=config))
    assert result.skipped == ["evaluation.chains: the model has no nowhere for rgb->shade->nowhere"]
    pairs = chain_rows(metric_rows(result.scores, context.codec.modalities, ["all"], 10))
    assert {pair.chained.route for pair in pairs} == {CHAIN}
    assert {pair.direct.route for pair in pairs} == {Route(source="rgb", target="glow")}
    for pair in pairs:
        by = pair.chained.arms["all"].mean - pair.direct.arms["all"].mean
        assert pair.gain("all") == pytest.approx(by if pair.chained.higher_is_better else -by)


@pytest.mark.parametrize("names", [["rgb", "depth"], ["rgb", "depth", "rgb"]])
def test_what_is_no_chain_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="three different modalities or more"):
        EvaluationConfig(chains=[names])
