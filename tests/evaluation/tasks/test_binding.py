"""Measures of binding on the small world, against plain loops; a trained model finds what it was never paired with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig, RetrievalPair
from evaluation.samples import EvalSplit
from evaluation.tasks.binding import (
    ARITHMETIC,
    BINDING,
    BindingSamples,
    ZeroShotClasses,
    largest_classes,
    measure_arithmetic,
    measure_binding,
)
from networks.binding.config import BindingConfig
from networks.binding.model import BindingModel
from networks.binding.tower import tower_batch
from networks.tokenizers.codec import Codec
from tests.evaluation import world

NAMES = ("rgb_pixels", "shade", "caption")


@pytest.fixture(scope="module")
def trained(training: EvalSplit) -> BindingModel:
    """Images bound to shades and captions; shades and captions were never paired."""
    torch.manual_seed(0)
    streams = [world.find_stream(training.streams, name) for name in NAMES]
    model = BindingModel(streams, BindingConfig(enabled=True, dim=16, width=32, num_blocks=1, heads=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        chosen = torch.randperm(200, generator=generator)[:32].tolist()
        samples = training.tokens.read(chosen, NAMES)
        batches = {s.modality: tower_batch(model.towers[s.modality], s.name, samples) for s in streams}
        optimizer.zero_grad()
        model(batches).loss.backward()
        optimizer.step()
    return model.eval()


def test_trained_and_emergent_pairs_are_far_above_chance(
    trained: BindingModel, held_out: EvalSplit, config: EvaluationConfig
) -> None:
    pairs = [RetrievalPair(query=[one], gallery=[other]) for one, other in (("shade", "rgb"), ("caption", "shade"))]
    pairs.append(RetrievalPair(query=["caption"], gallery=["audio"]))
    scores = measure_binding(trained, held_out, pairs, config, seed=0)
    found = {(str(score.route), score.metric): score.value for score in scores}
    for route in ("retrieval:binding:shade->rgb", "retrieval:binding:caption->shade"):
        assert found[route, "recall_at_10"] > 0.5, route
    assert not [route for route, _ in found if "audio" in route]
    assert {score.arm for score in scores} == {BINDING}


def test_arithmetic_is_the_plain_sum(trained: BindingModel, held_out: EvalSplit, config: EvaluationConfig) -> None:
    embed = BindingSamples(trained, held_out, seed=0)
    scores = measure_arithmetic(embed, "rgb", "caption", config, seed=0)
    images, texts = (embed([name], 1.0, np.arange(40)) for name in ("rgb", "caption"))
    ranks = []
    for number in range(40):
        other = (number + 1) % 40
        query = images[number] - texts[number] + texts[other]
        cosines = images @ query / np.linalg.norm(images, axis=1) / np.linalg.norm(query)
        ranks.append(1 + sum(cosines[row] > cosines[other] + 1e-6 for row in range(40) if row != number))
    found = {score.metric: score for score in scores}
    assert found["recall_at_10"].value == pytest.approx(np.mean(np.array(ranks) <= 10), abs=0.08)
    assert found["recall_at_1"].chance == pytest.approx(1 / 39)
    assert {score.route.query for score in scores if hasattr(score.route, "query")} == {("rgb", "caption")}
    assert found["map"].route.space == ARITHMETIC  # type: ignore[union-attr]


def test_a_set_of_modalities_is_the_sum_of_its_vectors(trained: BindingModel, held_out: EvalSplit) -> None:
    embed, indices = BindingSamples(trained, held_out, seed=0), np.arange(5)
    together = embed(["rgb", "caption"], 1.0, indices)
    np.testing.assert_allclose(together, embed(["rgb"], 1.0, indices) + embed(["caption"], 1.0, indices), atol=1e-6)


def test_zero_shot_takes_the_nearest_prompt(
    trained: BindingModel, held_out: EvalSplit, config: EvaluationConfig, codec: Codec
) -> None:
    assert codec.text_tokenizer is not None
    levels = world.random_levels(40, 100)
    # The class is the word of the last place; a prompt is that word four times.
    labels = [None if number == 3 else world.WORDS[level] for number, level in enumerate(levels[:, 3])]
    prompts = {
        word: [*codec.text_tokenizer.encode(" ".join([word] * 4)), codec.text_tokenizer.eos_id] for word in world.WORDS
    }
    scores = measure_binding(trained, held_out, [], config, 0, ZeroShotClasses(labels=labels, prompts=prompts))
    (score,) = [item for item in scores if item.metric == "zero_shot_accuracy"]
    known = [label for label in labels if label]
    assert score.num_samples == 39
    assert score.chance == pytest.approx(max(map(known.count, known)) / 39)
    assert score.value > 0.3
    values = dict(held_out.values)
    values["rgb"] = [None if number % 2 else held_out.values["rgb"][number] for number in range(40)]
    without = replace(held_out, values=values)
    scores = measure_binding(trained, without, [], config, 0, ZeroShotClasses(labels=labels, prompts=prompts))
    (half,) = [item for item in scores if item.metric == "zero_shot_accuracy"]
    assert half.num_samples == 20  # Sample 3, which has no class, is among those without an image.


def test_the_largest_class_is_the_one_of_most_pixels() -> None:
    maps = [np.array([[0, 0, 0], [1, 2, 2]]), np.array([[0, 0]]), None, np.array([[1, 255], [1, 2]])]
    assert largest_classes(maps, ["wall", "ball", "can"], ["ball", "can"]) == ["can", None, None, "ball"]
