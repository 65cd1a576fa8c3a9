from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.route import Route
from evaluation.tasks.base import TaskContext
from evaluation.tasks.probes import Probes, whole_cross_entropy
from networks.masking.masker import select
from tests.evaluation import world


@pytest.mark.parametrize("target", ["shade", "caption", "rgb"])
def test_the_loss_of_all_tokens_is_the_models_own(context: TaskContext, target: str) -> None:
    score = whole_cross_entropy(context, "rgb", target)
    samples, model = context.held_out.tokens.read(range(40), ["rgb_pixels", target]), context.model
    with torch.no_grad():
        whole = model(select(samples, model.streams, inputs=["rgb_pixels"], targets=[target]))
    assert score.value == pytest.approx(float(whole.losses[target]), rel=1e-4)
    assert np.mean(score.samples) == pytest.approx(score.value, rel=1e-6)
    assert score.num_samples == len(score.samples) == 40


def test_chance_is_measured_on_the_very_same_tokens(context: TaskContext) -> None:
    score = whole_cross_entropy(context, "rgb", "shade")
    levels = world.random_levels(40, 100)
    expected = -context.unigram("shade").log_probability.numpy()[np.arange(4)[None], levels].mean()
    assert score.chance == pytest.approx(expected, rel=1e-5)


def test_a_model_that_has_learned_the_world_is_far_below_chance(context: TaskContext) -> None:
    for target in ("shade", "glow", "rgb", "caption"):
        score = whole_cross_entropy(context, "rgb", target)
        assert score.chance is not None
        assert score.value < 0.5 * score.chance, target


def test_a_probe_without_its_modality_is_skipped_with_a_reason(context: TaskContext) -> None:
    probes = {"t5_caption": "caption", "rgb": "depth", "audio": "caption"}
    result = Probes().run(replace(context, config=replace(context.config, probes=probes)))
    assert [score.route for score in result.scores] == [Route(source="t5_caption", target="caption")]
    assert result.skipped == [
        "evaluation.probes.rgb: the model has no depth",
        "evaluation.probes.audio: the model has no audio",
    ]
