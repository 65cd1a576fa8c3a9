from dataclasses import replace

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.references.round_trip import ReferenceLevels
from evaluation.samples import EvalSplit
from evaluation.scores import CROSS_ENTROPY, MASKED_ROUTE, WELL_FORMED, Score
from evaluation.tasks.cross_entropy import ModelRef, common_inputs, whole_cross_entropy
from evaluation.tasks.measure import ModelMeasurements, measure_model
from networks.fourm.model import FourM
from networks.tokenizers.codec import Codec
from tests.evaluation import world

WHO = ModelRef(arm="all", seed=3)


@pytest.fixture(scope="module")
def measured(
    codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM
) -> ModelMeasurements:
    return measure_model(
        learned, codec, held_out, reference_levels, common_inputs({"all": held_out.streams}), WHO, config
    )


def find(measured: ModelMeasurements, name: str, target: str, metric: str) -> Score:
    (score,) = (item for item in measured.scores if item.key == (name, target, metric))
    return score


def test_a_model_that_has_learnt_the_world_reaches_the_tokenizers_bound(measured: ModelMeasurements) -> None:
    score = find(measured, "rgb->shade", "shade", "rmse")
    assert score.normalized_score is not None
    assert score.normalized_score > 0.9
    caption = find(measured, "rgb->caption", "caption", "exact")
    assert caption.chance is not None
    assert caption.value > 2 * max(caption.chance, 0.05)
    assert find(measured, "rgb->caption", "caption", WELL_FORMED).value == 1
    assert score.chance is not None
    assert find(measured, "caption->shade", "shade", "rmse").value < 0.7 * score.chance


def test_every_figure_stands_beside_its_chance_and_its_bound(
    measured: ModelMeasurements, reference_levels: ReferenceLevels
) -> None:
    for score in measured.scores:
        assert (score.arm, score.seed) == ("all", 3)
        if score.metric not in (CROSS_ENTROPY, WELL_FORMED):
            assert score.chance == reference_levels.chance(score.target, score.metric)
            assert score.ceiling == reference_levels.ceiling(score.target, score.metric)
        if score.metric == CROSS_ENTROPY:
            assert score.chance is not None


def test_every_target_has_its_rows_and_an_input_only_modality_its_worth(measured: ModelMeasurements) -> None:
    keys = {score.key for score in measured.scores}
    for target in ("rgb", "shade", "glow", "caption"):
        assert (MASKED_ROUTE, target, CROSS_ENTROPY) in keys
        assert (f"rgb->{target}", target, CROSS_ENTROPY) in keys
    assert ("t5_caption->caption", "caption", CROSS_ENTROPY) in keys
    assert ("caption->shade", "shade", "rmse") in keys
    assert ("caption->glow", "glow", "rmse") not in keys


def test_the_cross_entropy_beside_a_route_is_that_of_the_whole_question(
    measured: ModelMeasurements,
    held_out: EvalSplit,
    reference_levels: ReferenceLevels,
    config: EvaluationConfig,
    learned: FourM,
) -> None:
    for target in ("shade", "caption"):
        whole = whole_cross_entropy(learned, held_out, "rgb", target, reference_levels.unigrams[target], WHO, config)
        found = find(measured, f"rgb->{target}", target, CROSS_ENTROPY)
        np.testing.assert_allclose(found.samples, whole.samples, rtol=1e-4, atol=1e-6)


def test_sequences_are_written_for_fewer_samples_than_are_measured(measured: ModelMeasurements) -> None:
    assert find(measured, "rgb->caption", "caption", "bleu").num_samples == 24
    assert find(measured, "rgb->caption", "caption", CROSS_ENTROPY).num_samples == 40
    assert find(measured, "rgb->shade", "shade", "rmse").num_samples == 40


def test_as_many_predictions_are_kept_as_pictures_are_asked_for(measured: ModelMeasurements) -> None:
    assert {name: len(values) for name, values in measured.predictions.items()} == {
        "rgb->rgb": 3,
        "rgb->shade": 3,
        "rgb->glow": 3,
        "rgb->caption": 3,
        "caption->shade": 3,
    }


def test_argmax_gives_levels_and_the_mean_of_codes_gives_values_between(measured: ModelMeasurements) -> None:
    levels = np.linspace(0, 1, world.LEVELS)

    def distance(name: str) -> float:
        return max(float(np.abs(value[..., None] - levels).min(-1).max()) for value in measured.predictions[name])

    assert distance("rgb->shade") < 1e-6
    assert distance("rgb->glow") > 1e-6


def test_the_batch_size_changes_no_figure(
    codec: Codec,
    held_out: EvalSplit,
    reference_levels: ReferenceLevels,
    config: EvaluationConfig,
    learned: FourM,
    measured: ModelMeasurements,
) -> None:
    other = replace(config, batch_size=40)
    again = measure_model(
        learned, codec, held_out, reference_levels, common_inputs({"all": held_out.streams}), WHO, other
    )
    for one, two in zip(measured.scores, again.scores, strict=True):
        assert one.key == two.key
        assert one.value == pytest.approx(two.value, rel=1e-3, abs=1e-4), one.key
        assert (one.chance is None) == (two.chance is None), one.key
        if one.chance is not None and two.chance is not None:
            assert one.chance == pytest.approx(two.chance, rel=1e-6), one.key


def test_a_route_whose_source_an_arm_lacks_is_not_asked(
    codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig
) -> None:
    model = world.make_model(world.streams_without(held_out.streams, "caption", "t5_caption"))
    found = measure_model(model, codec, held_out, reference_levels, ("rgb_pixels",), WHO, config)
    assert {score.route for score in found.scores} == {"rgb->rgb", "rgb->shade", "rgb->glow", MASKED_ROUTE}


def test_measuring_leaves_the_model_as_it_was(
    codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig
) -> None:
    model = world.make_model(held_out.streams)
    model.train()
    measure_model(model, codec, held_out, reference_levels, (), WHO, replace(config, num_samples=4, routes={}))
    assert model.training
