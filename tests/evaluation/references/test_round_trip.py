from dataclasses import replace

import pytest

from evaluation.config import EvaluationConfig
from evaluation.reference_levels import ReferenceLevels
from evaluation.references.round_trip import measure_round_trip
from evaluation.samples import EvalSplit
from evaluation.scores import WELL_FORMED
from networks.tokenizers.codec import Codec
from tests.evaluation import world


def test_the_bound_of_a_dense_modality_is_what_its_codes_lose(reference_levels: ReferenceLevels) -> None:
    # Within a patch the values are off the level by 0.05 in turn up and down.
    assert reference_levels.upper_bound("shade", "rmse") == pytest.approx(0.05, rel=1e-4)
    assert reference_levels.upper_bound("shade", "right") == 0
    assert reference_levels.upper_bound("rgb", "right") == 1


def test_the_bound_of_a_text_is_what_its_grammar_can_say(reference_levels: ReferenceLevels) -> None:
    assert reference_levels.upper_bound("caption", "exact") == 1
    assert reference_levels.upper_bound("caption", WELL_FORMED) == 1
    assert reference_levels.chance("caption", "exact") == pytest.approx(0, abs=0.3)


def test_a_text_that_was_cut_has_a_lower_bound(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> None:
    assert isinstance(held_out.tokens, world.InMemoryTokenStore)
    cut = {**held_out.tokens.stored, "caption": [row[:2] for row in held_out.tokens.stored["caption"]]}
    short = replace(held_out, tokens=world.InMemoryTokenStore(cut, held_out.tokens.images))
    scores = {score.metric: score for score in measure_round_trip(codec, "caption", training, short, config)}
    assert scores["exact"].value == 0
    assert scores["word_f1"].value == pytest.approx(2 * 2 / (2 + 4))


def test_what_a_sample_lacks_is_left_out(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> None:
    assert isinstance(held_out.tokens, world.InMemoryTokenStore)
    stored = held_out.tokens.stored["caption"]
    half = {**held_out.tokens.stored, "caption": [row[: 8 * (place % 2)] for place, row in enumerate(stored)]}
    partial = replace(held_out, tokens=world.InMemoryTokenStore(half, held_out.tokens.images))
    (exact,) = (
        score for score in measure_round_trip(codec, "caption", training, partial, config) if score.metric == "exact"
    )
    assert (exact.value, exact.num_samples) == (1, 12)
