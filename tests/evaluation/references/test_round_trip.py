from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.references.round_trip import ReferenceLevels, measure_round_trip
from evaluation.samples import EvalSplit
from evaluation.scores import ROUND_TRIP_ROUTE, WELL_FORMED
from modalities.errors import DataError
from networks.tokenizers.codec import Codec
from tests.evaluation import world


def test_the_bound_of_a_dense_modality_is_what_its_codes_lose(reference_levels: ReferenceLevels) -> None:
    # Within a patch the values are off the level by 0.05 in turn up and down.
    assert reference_levels.ceiling("shade", "rmse") == pytest.approx(0.05, rel=1e-4)
    assert reference_levels.ceiling("shade", "right") == 0
    assert reference_levels.ceiling("rgb", "right") == 1


def test_the_bound_of_a_text_is_what_its_grammar_can_say(reference_levels: ReferenceLevels) -> None:
    assert reference_levels.ceiling("caption", "exact") == 1
    assert reference_levels.ceiling("caption", WELL_FORMED) == 1
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


def test_every_target_has_its_rows_and_sequences_are_measured_on_fewer_samples(
    reference_levels: ReferenceLevels,
) -> None:
    assert {score.target for score in reference_levels.scores} == {"rgb", "shade", "glow", "caption"}
    assert {score.route for score in reference_levels.scores} == {ROUND_TRIP_ROUTE}
    counts = {score.target: score.num_samples for score in reference_levels.scores}
    assert counts == {"rgb": 40, "shade": 40, "glow": 40, "caption": 24}
    assert set(reference_levels.unigrams) == {"rgb", "shade", "glow", "caption"}


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


def test_baselines_come_back_from_their_folder(reference_levels: ReferenceLevels, tmp_path: Path) -> None:
    reference_levels.save(tmp_path / "baselines")
    found = ReferenceLevels.load(tmp_path / "baselines")
    assert [score.key for score in found.scores] == [score.key for score in reference_levels.scores]
    np.testing.assert_allclose([s.value for s in found.scores], [s.value for s in reference_levels.scores])
    for name, table in reference_levels.unigrams.items():
        torch.testing.assert_close(found.unigrams[name].log_probability, table.log_probability)


def test_a_truncated_file_is_an_error_that_names_it(reference_levels: ReferenceLevels, tmp_path: Path) -> None:
    reference_levels.save(tmp_path)
    whole = (tmp_path / "unigrams.safetensors").read_bytes()
    (tmp_path / "unigrams.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"unigrams\.safetensors cannot be read"):
        ReferenceLevels.load(tmp_path)
