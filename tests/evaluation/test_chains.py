"""Direct against chained routes: the chain believes what was generated on its way, and the report shows both."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.chains import chain_rows, measure_chains
from evaluation.config import EvaluationConfig
from evaluation.crossentropy import Who
from evaluation.decoding import decode_dense
from evaluation.held_out import Codecs, Split
from evaluation.roundtrip import Baselines
from evaluation.tables import figure_rows
from evaluation.transfer import measure_model
from modalities.errors import ConfigError
from networks.fourm import FourM
from networks.generation.predict import predict_dense
from networks.masking import select

CHAIN = ["rgb", "shade", "glow"]


def test_a_chains_last_step_sees_the_source_and_what_was_generated(
    learned: FourM, codecs: Codecs, held_out: Split, baselines: Baselines, config: EvaluationConfig
) -> None:
    asked = replace(config, chains=[CHAIN], argmax=["shade", "glow"], num_pictures=40)
    (measured,) = measure_chains(learned, codecs, held_out, baselines, asked)
    assert measured.name == "rgb->shade->glow"
    samples = held_out.tokens.columns(np.arange(40), ["rgb_pixels", "shade"])
    pixels = {"rgb_pixels": samples["rgb_pixels"]}
    with torch.no_grad():
        shade = predict_dense(
            learned, learned.encode(select(pixels, learned.streams, inputs=["rgb_pixels"], targets=[])), "shade"
        ).ids
        both = {**pixels, "shade": replace(samples["shade"], values=shade.view(samples["shade"].values.shape))}
        context = learned.encode(select(both, learned.streams, inputs=list(both), targets=[]))
        expected = predict_dense(learned, context, "glow").ids
    truth = decode_dense(codecs, "glow", expected)
    np.testing.assert_allclose(np.stack(measured.kept), np.stack(truth), atol=1e-5)


def test_the_rows_of_a_chain_stand_beside_the_direct_routes(
    learned: FourM, codecs: Codecs, held_out: Split, baselines: Baselines, config: EvaluationConfig
) -> None:
    asked = replace(config, chains=[CHAIN, ["rgb", "shade", "nowhere"]])
    who = Who(arm="all", seed=0)
    scores = measure_model(learned, codecs, held_out, baselines, ("rgb_pixels",), who, asked).scores
    pairs = chain_rows(figure_rows(scores, codecs.modalities, ["all"], 10))
    assert {pair.chained.route for pair in pairs} == {"rgb->shade->glow"}
    assert {pair.direct.route for pair in pairs} == {"rgb->glow"}
    for pair in pairs:
        by = pair.chained.arms["all"].mean - pair.direct.arms["all"].mean
        assert pair.gain("all") == pytest.approx(by if pair.chained.higher_is_better else -by)


@pytest.mark.parametrize("names", [["rgb", "depth"], ["rgb", "depth", "rgb"]])
def test_what_is_no_chain_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="three different modalities or more"):
        EvaluationConfig(chains=[names])
