from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.held_out import Codecs, Split
from evaluation.records import ROUND_TRIP, WELL_FORMED
from evaluation.roundtrip import Baselines, round_trip
from modalities.errors import DataError
from tests.evaluation import world


def test_the_bound_of_a_dense_modality_is_what_its_codes_lose(baselines: Baselines) -> None:
    # Within a patch the values are off the level by 0.05 in turn up and down.
    assert baselines.bound("shade", "rmse") == pytest.approx(0.05, rel=1e-4)
    assert baselines.bound("shade", "right") == 0
    assert baselines.bound("rgb", "right") == 1


def test_the_bound_of_a_text_is_what_its_grammar_can_say(baselines: Baselines) -> None:
    assert baselines.bound("caption", "exact") == 1
    assert baselines.bound("caption", WELL_FORMED) == 1
    assert baselines.chance("caption", "exact") == pytest.approx(0, abs=0.3)


def test_a_text_that_was_cut_has_a_lower_bound(
    codecs: Codecs, training: Split, held_out: Split, config: EvaluationConfig
) -> None:
    assert isinstance(held_out.tokens, world.Store)
    cut = {**held_out.tokens.stored, "caption": [row[:2] for row in held_out.tokens.stored["caption"]]}
    short = Split(values=held_out.values, tokens=world.Store(cut, held_out.tokens.kinds), num_samples=40)
    scores = {score.metric: score for score in round_trip(codecs, "caption", training, short, config)}
    assert scores["exact"].value == 0
    assert scores["word_f1"].value == pytest.approx(2 * 2 / (2 + 4))


def test_every_target_has_its_rows_and_sequences_are_measured_on_fewer_samples(baselines: Baselines) -> None:
    assert {score.target for score in baselines.scores} == {"rgb", "shade", "glow", "caption"}
    assert {score.route for score in baselines.scores} == {ROUND_TRIP}
    counts = {score.target: score.num_samples for score in baselines.scores}
    assert counts == {"rgb": 40, "shade": 40, "glow": 40, "caption": 24}
    assert set(baselines.unigrams) == {"rgb", "shade", "glow", "caption"}


def test_what_a_sample_lacks_is_left_out(
    codecs: Codecs, training: Split, held_out: Split, config: EvaluationConfig
) -> None:
    assert isinstance(held_out.tokens, world.Store)
    stored = held_out.tokens.stored["caption"]
    half = {**held_out.tokens.stored, "caption": [row[: 8 * (place % 2)] for place, row in enumerate(stored)]}
    partial = Split(values=held_out.values, tokens=world.Store(half, held_out.tokens.kinds), num_samples=40)
    (exact,) = (score for score in round_trip(codecs, "caption", training, partial, config) if score.metric == "exact")
    assert (exact.value, exact.num_samples) == (1, 12)


def test_baselines_come_back_from_their_folder(baselines: Baselines, tmp_path: Path) -> None:
    baselines.save(tmp_path / "baselines")
    found = Baselines.load(tmp_path / "baselines")
    assert [score.key for score in found.scores] == [score.key for score in baselines.scores]
    np.testing.assert_allclose([s.value for s in found.scores], [s.value for s in baselines.scores])
    for name, table in baselines.unigrams.items():
        torch.testing.assert_close(found.unigrams[name].log_probability, table.log_probability)


def test_a_truncated_file_is_an_error_that_names_it(baselines: Baselines, tmp_path: Path) -> None:
    baselines.save(tmp_path)
    whole = (tmp_path / "unigrams.safetensors").read_bytes()
    (tmp_path / "unigrams.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"unigrams\.safetensors cannot be read"):
        Baselines.load(tmp_path)
