from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.references.chance import END_SENTINEL, chance_metrics, fit_unigram
from evaluation.samples import EvalSplit
from modalities.vocabulary import EOS_ID
from networks.fourm.heads import class_indices
from networks.streams import token_stream
from networks.tokenizers.codec import Codec
from tests.evaluation import world


def test_a_grid_is_counted_by_place(training: EvalSplit) -> None:
    table = fit_unigram(token_stream(world.find_stream(training.streams, "shade")), training, 200).log_probability.exp()
    assert table.shape == (5, world.LEVELS)
    levels = world.random_levels(200, 0)
    shares = np.stack([np.bincount(column, minlength=world.LEVELS) for column in levels.T]) / 200
    np.testing.assert_allclose(table[:-1], shares, atol=0.05)
    assert table[0, -1] > 0.6


def test_a_hidden_sequence_ends_with_the_sentinel_that_closes_it(training: EvalSplit) -> None:
    stream = token_stream(world.find_stream(training.streams, "caption"))
    table = fit_unigram(stream, training, 200).log_probability
    assert stream.predictable[int(table[4].argmax())] == EOS_ID
    assert stream.predictable[int(table[5].argmax())] == END_SENTINEL
    assert table[5].max().exp() > 0.95


def test_ids_that_the_head_does_not_choose_among_count_as_its_first(training: EvalSplit) -> None:
    stream = replace(token_stream(world.find_stream(training.streams, "caption")), predictable=(2, 5, 9))
    assert class_indices(torch.tensor([[2, 5], [9, 7], [0, 11]]), stream.predictable).tolist() == [
        [0, 1],
        [2, 0],
        [0, 0],
    ]


def test_the_chance_of_values_is_the_training_mean(codec: Codec, training: EvalSplit, held_out: EvalSplit) -> None:
    figures = chance_metrics(codec.modalities["shade"], training, held_out, 200, batch_size=7)
    truth = np.asarray(held_out.values["shade"])
    guess = np.asarray(training.values["shade"]).mean(axis=0)
    assert figures["rmse"].value == pytest.approx(np.sqrt(((truth - guess) ** 2).mean()), rel=1e-5)
    assert figures["right"].value == 0
    assert (figures["rmse"].unit, figures["rmse"].higher_is_better) == ("m", False)
