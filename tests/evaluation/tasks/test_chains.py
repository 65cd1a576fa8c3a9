"""Direct against chained routes: the chain believes what was generated on its way, and the report shows both."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.references.round_trip import ReferenceLevels
from evaluation.report.tables import metric_rows
from evaluation.samples import EvalSplit
from evaluation.tasks.chains import chain_rows, measure_chains
from evaluation.tasks.cross_entropy import ModelRef
from evaluation.tasks.measure import measure_model
from modalities.errors import ConfigError
from networks.fourm.model import FourM
from networks.generation.predict import predict_grid
from networks.masking.masker import select
from networks.tokenizers.codec import Codec

CHAIN = ["rgb", "shade", "glow"]


def test_a_chains_last_step_sees_the_source_and_what_was_generated(
    learned: FourM, codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig
) -> None:
    asked = replace(config, chains=[CHAIN], argmax=["shade", "glow"], num_pictures=40)
    (measured,) = measure_chains(learned, codec, held_out, reference_levels, asked)
    assert measured.name == "rgb->shade->glow"
    samples = held_out.tokens.read(np.arange(40), ["rgb_pixels", "shade"])
    pixels = {"rgb_pixels": samples["rgb_pixels"]}
    with torch.no_grad():
        shade = predict_grid(
            learned, learned.encode(select(pixels, learned.streams, inputs=["rgb_pixels"], targets=[])), "shade"
        ).ids
        both = {**pixels, "shade": replace(samples["shade"], values=shade.view(samples["shade"].values.shape))}
        context = learned.encode(select(both, learned.streams, inputs=list(both), targets=[]))
        expected = predict_grid(learned, context, "glow").ids
    truth = codec.decode("glow", expected).values
    np.testing.assert_allclose(np.stack(measured.example_predictions), np.stack(truth), atol=1e-5)


def test_the_rows_of_a_chain_stand_beside_the_direct_routes(
    learned: FourM, codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig
) -> None:
    asked = replace(config, chains=[CHAIN, ["rgb", "shade", "nowhere"]])
    model_ref = ModelRef(arm="all", seed=0)
    scores = measure_model(learned, codec, held_out, reference_levels, ("rgb_pixels",), model_ref, asked).scores
    pairs = chain_rows(metric_rows(scores, codec.modalities, ["all"], 10))
    assert {pair.chained.route for pair in pairs} == {"rgb->shade->glow"}
    assert {pair.direct.route for pair in pairs} == {"rgb->glow"}
    for pair in pairs:
        by = pair.chained.arms["all"].mean - pair.direct.arms["all"].mean
        assert pair.gain("all") == pytest.approx(by if pair.chained.higher_is_better else -by)


@pytest.mark.parametrize("names", [["rgb", "depth"], ["rgb", "depth", "rgb"]])
def test_what_is_no_chain_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="three different modalities or more"):
        EvaluationConfig(chains=[names])
