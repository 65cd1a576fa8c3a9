"""Samples that lack a modality: every score is that of the samples that have it, measured alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.references.chance import chance_metrics, fit_unigram
from evaluation.references.round_trip import measure_round_trip
from evaluation.report.sheets import comparison_sheets, render_predictions, validation_sheet
from evaluation.route import MaskedTokens, Route
from evaluation.samples import EvalSplit, TokenReader
from evaluation.scores import WELL_FORMED, Score
from evaluation.tasks.base import TaskContext
from evaluation.tasks.chains import measure_chain
from evaluation.tasks.measure import measure_model
from evaluation.tasks.probes import whole_cross_entropy
from evaluation.tasks.routes import measure_routes
from modalities.rendering.sheet import MISSING
from networks.batch import Samples
from networks.streams import token_stream
from networks.tokenizers.codec import Codec
from tests.evaluation import world

LACK_RGB = (0, 3, 4, 5, 17, 39)
LACK_SHADE = (1, 4, 20, 21)
LACK_CAPTION = tuple(range(12))


@dataclass(frozen=True)
class _Holes:
    """Tokens of which some samples lack some streams."""

    tokens: TokenReader
    lacking: dict[str, tuple[int, ...]]

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        found = dict(self.tokens.read(indices, streams))
        for name, lacking in self.lacking.items():
            if name in found:
                gone = torch.from_numpy(np.isin(np.asarray(indices), lacking))
                values, lengths = found[name].values.clone(), found[name].lengths.clone()
                values[gone], lengths[gone] = 0, 0
                found[name] = replace(found[name], values=values, lengths=lengths)
        return found


@dataclass(frozen=True)
class _Chosen:
    """Some of the samples, under new numbers."""

    tokens: TokenReader
    numbers: tuple[int, ...]

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        return self.tokens.read(np.array(self.numbers)[np.asarray(indices)], streams)


def _with_holes(split: EvalSplit) -> EvalSplit:
    lacking = {"rgb": LACK_RGB, "shade": LACK_SHADE, "caption": LACK_CAPTION}
    values = {
        name: [None if number in lacking.get(name, ()) else column[number] for number in range(split.num_samples)]
        for name, column in split.values.items()
    }
    holes = _Holes(split.tokens, {**lacking, "rgb_pixels": LACK_RGB})
    return replace(split, values=values, tokens=holes)


def _only(split: EvalSplit, numbers: Sequence[int]) -> EvalSplit:
    values = {name: [column[number] for number in numbers] for name, column in split.values.items()}
    return replace(split, values=values, tokens=_Chosen(split.tokens, tuple(numbers)), num_samples=len(numbers))


def _present(*lacking: Sequence[int]) -> list[int]:
    return [number for number in range(40) if not any(number in group for group in lacking)]


def _same(found: Sequence[Score], expected: Sequence[Score]) -> None:
    assert [(score.route, score.metric) for score in found] == [(score.route, score.metric) for score in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-5), one
        assert one.chance == (None if other.chance is None else pytest.approx(other.chance, rel=1e-5)), one
        assert one.num_samples == other.num_samples, one


@pytest.fixture
def holes(context: TaskContext) -> TaskContext:
    return replace(context, held_out=_with_holes(context.held_out))


def _alone(context: TaskContext, numbers: Sequence[int]) -> TaskContext:
    return replace(context, held_out=_only(context.held_out, numbers))


def test_a_route_is_measured_where_both_ends_are(context: TaskContext, holes: TaskContext) -> None:
    (found,) = measure_routes(holes, "rgb", ["shade"])
    (expected,) = measure_routes(_alone(context, _present(LACK_RGB, LACK_SHADE)), "rgb", ["shade"])
    _same(found.scores(), expected.scores())
    chain = Route(source="rgb", via=("shade",), target="glow")
    _same(measure_chain(holes, chain).scores(), measure_chain(_alone(context, _present(LACK_RGB)), chain).scores())


def test_a_probe_is_measured_where_its_input_is(context: TaskContext, holes: TaskContext) -> None:
    found = whole_cross_entropy(holes, "caption", "shade")
    expected = whole_cross_entropy(_alone(context, _present(LACK_CAPTION, LACK_SHADE)), "caption", "shade")
    _same([found], [expected])


def test_round_trips_and_chance_are_those_of_the_samples_that_have_it(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> None:
    everything = replace(config, num_sequences=40)
    for name, lacking in (("shade", LACK_SHADE), ("caption", LACK_CAPTION)):
        present = _present(lacking)
        _same(
            measure_round_trip(codec, name, training, _with_holes(held_out), everything),
            measure_round_trip(codec, name, training, _only(held_out, present), everything),
        )
    thinned = chance_metrics(codec.modalities["shade"], _with_holes(held_out), training, 40, 16)
    expected = chance_metrics(codec.modalities["shade"], _only(held_out, _present(LACK_SHADE)), training, 40, 16)
    assert {key: item.value for key, item in thinned.items()} == {
        key: pytest.approx(item.value) for key, item in expected.items()
    }
    for name, lacking in (("shade", LACK_SHADE), ("caption", LACK_CAPTION)):
        stream = token_stream(world.find_stream(held_out.streams, name))
        one = fit_unigram(stream, _with_holes(held_out), 40).log_probability
        other = fit_unigram(stream, _only(held_out, _present(lacking)), 40).log_probability
        torch.testing.assert_close(one, other)


def test_a_modality_that_no_held_out_sample_has_is_left_without_figures(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig, context: TaskContext
) -> None:
    nothing = replace(
        held_out,
        values={**held_out.values, "shade": [None] * 40},
        tokens=_Holes(held_out.tokens, {"shade": tuple(range(40))}),
    )
    trips = measure_round_trip(codec, "shade", training, nothing, config)
    assert [score.num_samples for score in trips] == [0, 0]
    assert all(np.isnan(score.value) for score in trips)
    measured = measure_model(replace(context, held_out=nothing))
    of_shade = [score for score in measured.scores if score.route.target == "shade"]
    assert {score.num_samples for score in of_shade} == {0}
    assert all(np.isnan(score.value) or score.metric == WELL_FORMED for score in of_shade)
    assert MaskedTokens(target="shade") in {score.route for score in of_shade}
    others = [score for score in measured.scores if score.route.target == "glow"]
    assert all(np.isfinite(score.value) and score.num_samples for score in others)


def test_a_model_of_samples_with_holes_is_measured_by_every_task(holes: TaskContext) -> None:
    measured = measure_model(holes)
    assert measured.scores
    assert all(np.isfinite(score.value) for score in measured.scores)


def test_pictures_stand_in_the_row_of_their_sample(holes: TaskContext, codec: Codec, config: EvaluationConfig) -> None:
    (evaluator,) = measure_routes(holes, "rgb", ["shade"])
    # Sample 0 lacks the source, sample 1 the target; sample 2 has both.
    assert [value is None for value in evaluator.example_predictions] == [True, True, False]
    drawn = render_predictions(codec, {evaluator.route: evaluator.example_predictions})
    (sheet,) = comparison_sheets(codec, holes.held_out, {"all": drawn}, config)
    missing = [[isinstance(item, str) and item == MISSING for item in row] for row in sheet.rows]
    # Columns: source, truth, round trip, prediction.
    assert missing == [[True, False, False, True], [False, True, True, True], [False] * 4]
    sheet = validation_sheet(holes.model, codec, holes.held_out, ["shade"], config, "rgb")
    # The first three samples that have an image are 1, 2 and 6.
    assert [[isinstance(item, str) for item in row] for row in sheet.rows] == [
        [False, True, False],
        [False, False, False],
        [False, False, False],
    ]
