from dataclasses import fields, replace

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.report.page import SECTIONS
from evaluation.route import MaskedTokens, Route, parse_route
from evaluation.scores import CROSS_ENTROPY, WELL_FORMED, Score
from evaluation.tasks.base import TaskContext, TaskResult
from evaluation.tasks.measure import TASKS, measure_model
from evaluation.tasks.probes import whole_cross_entropy
from tests.evaluation import world


@pytest.fixture(scope="module")
def measured(context: TaskContext) -> TaskResult:
    return measure_model(context)


def find(measured: TaskResult, route: str, metric: str) -> Score:
    (score,) = (item for item in measured.scores if item.key == (Route.parse(route), metric))
    return score


def test_every_task_has_a_name_of_its_own_and_a_section_of_the_report() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS)
    assert {task.section for task in TASKS} <= set(SECTIONS)


def test_a_model_that_has_learned_the_world_reaches_the_upper_bound(measured: TaskResult) -> None:
    score = find(measured, "rgb->shade", "rmse")
    assert score.normalized_score is not None
    assert score.normalized_score > 0.9
    caption = find(measured, "rgb->caption", "exact")
    assert caption.chance is not None
    assert caption.value > 2 * max(caption.chance, 0.05)
    assert find(measured, "rgb->caption", WELL_FORMED).value == 1
    assert score.chance is not None
    assert find(measured, "caption->shade", "rmse").value < 0.7 * score.chance


def test_every_score_stands_beside_its_reference_levels(measured: TaskResult, context: TaskContext) -> None:
    levels = context.reference_levels
    for score in measured.scores:
        assert (score.arm, score.seed) == ("all", 3)
        if score.metric not in (CROSS_ENTROPY, WELL_FORMED):
            assert score.chance == levels.chance(score.target, score.metric)
            assert score.upper_bound == levels.upper_bound(score.target, score.metric)
        if score.metric == CROSS_ENTROPY:
            assert score.chance is not None


def test_every_target_is_measured_and_every_input_only_modality_probed(measured: TaskResult) -> None:
    keys = {score.key for score in measured.scores}
    for target in ("rgb", "shade", "glow", "caption"):
        assert (MaskedTokens(target=target), CROSS_ENTROPY) in keys
        assert (Route(source="rgb", target=target), CROSS_ENTROPY) in keys
    assert (Route(source="t5_caption", target="caption"), CROSS_ENTROPY) in keys
    assert (Route(source="caption", target="shade"), "rmse") in keys
    assert (Route(source="caption", target="glow"), "rmse") not in keys


def test_the_cross_entropy_of_a_route_is_that_of_the_whole_target(measured: TaskResult, context: TaskContext) -> None:
    for target in ("shade", "caption"):
        whole = whole_cross_entropy(context, "rgb", target)
        found = find(measured, f"rgb->{target}", CROSS_ENTROPY)
        np.testing.assert_allclose(found.samples, whole.samples, rtol=1e-4, atol=1e-6)


def test_sequences_are_generated_for_fewer_samples_than_are_measured(measured: TaskResult) -> None:
    assert find(measured, "rgb->caption", "bleu").num_samples == 24
    assert find(measured, "rgb->caption", CROSS_ENTROPY).num_samples == 40
    assert find(measured, "rgb->shade", "rmse").num_samples == 40


def test_as_many_predictions_are_kept_as_pictures_are_configured(measured: TaskResult) -> None:
    assert {str(route): len(values) for route, values in measured.predictions.items()} == {
        "rgb->rgb": 3,
        "rgb->shade": 3,
        "rgb->glow": 3,
        "rgb->caption": 3,
        "caption->shade": 3,
    }


def test_argmax_gives_levels_and_the_mean_of_codes_gives_values_between(measured: TaskResult) -> None:
    levels = np.linspace(0, 1, world.LEVELS)

    def distance(route: str) -> float:
        values = measured.predictions[Route.parse(route)]
        return max(float(np.abs(value[..., None] - levels).min(-1).max()) for value in values)

    assert distance("rgb->shade") < 1e-6
    assert distance("rgb->glow") > 1e-6


def test_the_batch_size_changes_no_score(measured: TaskResult, context: TaskContext) -> None:
    again = measure_model(replace(context, config=replace(context.config, batch_size=40)))
    for one, two in zip(measured.scores, again.scores, strict=True):
        assert one.key == two.key
        assert one.value == pytest.approx(two.value, rel=1e-3, abs=1e-4), one.key
        assert (one.chance is None) == (two.chance is None), one.key
        if one.chance is not None and two.chance is not None:
            assert one.chance == pytest.approx(two.chance, rel=1e-6), one.key


def test_a_measurement_without_its_modality_is_skipped_with_a_reason(context: TaskContext) -> None:
    model = world.make_model(world.streams_without(context.held_out.streams, "caption", "t5_caption"))
    config = replace(
        context.config,
        routes={"rgb": ["shade", "caption"], "caption": ["shade"]},
        chains=[["rgb", "caption", "shade"]],
        probes={"t5_caption": "caption"},
    )
    found = measure_model(replace(context, model=model, common_inputs=("rgb_pixels",), config=config))
    masked = {str(MaskedTokens(target="shade"))}
    assert {str(score.route) for score in found.scores} == {"rgb->shade"} | masked
    assert found.skipped == [
        "evaluation.routes.rgb: the model predicts no caption",
        "evaluation.routes.caption: the model has no caption",
        "evaluation.chains: the model has no caption for rgb->caption->shade",
        "evaluation.probes.t5_caption: the model has no t5_caption, caption",
    ]


def test_measuring_leaves_the_model_as_it_was(context: TaskContext) -> None:
    model = world.make_model(context.held_out.streams)
    model.train()
    measure_model(replace(context, model=model, config=replace(context.config, num_samples=4, routes={})))
    assert model.training


def test_the_routes_of_scores_come_back_from_their_text(measured: TaskResult) -> None:
    for score in measured.scores:
        assert parse_route(str(score.route), score.target) == score.route


def test_fields_of_names_say_so() -> None:
    """Every setting whose values are text names modalities, and is checked by the loader."""
    for item in fields(EvaluationConfig):
        value = getattr(EvaluationConfig(), item.name)
        assert isinstance(value, (dict, list)) == (item.metadata.get("names") == "modality"), item.name
