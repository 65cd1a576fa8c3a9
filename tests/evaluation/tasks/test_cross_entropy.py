from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.references.round_trip import ReferenceLevels
from evaluation.samples import EvalSplit
from evaluation.scores import Score
from evaluation.tasks.cross_entropy import (
    MASK_CHUNK,
    ModelRef,
    common_inputs,
    masked_cross_entropy,
    question_masking,
    question_streams,
    token_losses,
    whole_cross_entropy,
)
from networks.batch import IGNORE
from networks.fourm.heads import class_indices
from networks.fourm.model import FourM
from networks.masking.masker import Masker, select
from networks.streams import token_stream
from networks.tokenizers.codec import Codec
from tests.evaluation import world

WHO = ModelRef(arm="all", seed=0)


@pytest.mark.parametrize("target", ["shade", "caption", "rgb"])
def test_the_loss_of_all_tokens_is_the_models_own(
    held_out: EvalSplit,
    reference_levels: ReferenceLevels,
    config: EvaluationConfig,
    learned: FourM,
    target: str,
) -> None:
    score = whole_cross_entropy(learned, held_out, "rgb", target, reference_levels.unigrams[target], WHO, config)
    samples = held_out.tokens.read(range(40), ["rgb_pixels", target])
    with torch.no_grad():
        whole = learned(select(samples, learned.streams, inputs=["rgb_pixels"], targets=[target]))
    assert score.value == pytest.approx(float(whole.losses[target]), rel=1e-4)
    assert np.mean(score.samples) == pytest.approx(score.value, rel=1e-6)
    assert score.num_samples == len(score.samples) == 40


def test_chance_is_measured_on_the_very_same_tokens(
    held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM
) -> None:
    unigram = reference_levels.unigrams["shade"]
    score = whole_cross_entropy(learned, held_out, "rgb", "shade", unigram, WHO, config)
    levels = world.random_levels(40, 100)
    expected = -unigram.log_probability.numpy()[np.arange(4)[None], levels].mean()
    assert score.chance == pytest.approx(expected, rel=1e-5)


def test_a_model_that_has_learnt_the_world_is_far_below_chance(
    held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM
) -> None:
    for target in ("shade", "glow", "rgb", "caption"):
        score = whole_cross_entropy(learned, held_out, "rgb", target, reference_levels.unigrams[target], WHO, config)
        assert score.chance is not None
        assert score.value < 0.5 * score.chance, target


def test_every_arm_is_asked_the_same(held_out: EvalSplit, config: EvaluationConfig) -> None:
    """The batches that two arms get for one question say the same, stream by stream."""
    small = world.streams_without(held_out.streams, "glow", "t5_caption")
    large = tuple(reversed(held_out.streams))
    common = common_inputs({"small": small, "large": large})
    assert common == ("caption", "rgb", "rgb_pixels", "shade")
    for target in ("shade", "caption", "rgb"):
        found = []
        for streams in (small, large):
            model = world.make_model(streams)
            asked = question_streams(model, target, common)
            masker = Masker(asked, question_masking(asked[-1], asked, config))
            samples = held_out.tokens.read(range(16), [stream.name for stream in asked])
            found.append((masker(samples, torch.Generator().manual_seed(5)), [stream.name for stream in asked]))
        (one, names), (other, others) = found
        assert names == others
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.position, other.position)


def test_the_masked_question_shows_none_of_what_it_asks(held_out: EvalSplit, config: EvaluationConfig) -> None:
    model = world.make_model(held_out.streams)
    common = common_inputs({"all": held_out.streams})
    asked = question_streams(model, "rgb", common)
    assert [stream.name for stream in asked] == ["caption", "glow", "shade", "t5_caption", "rgb"]
    masker = Masker(asked, question_masking(asked[-1], asked, config))
    samples = held_out.tokens.read(range(16), [stream.name for stream in asked])
    batch = masker(samples, torch.Generator().manual_seed(0))
    for row in range(16):
        shown = batch.position[row][(batch.stream[row] == 4) & batch.visible[row]].tolist()
        hidden = batch.decoder_position[row][batch.targets[row] != IGNORE].tolist()
        assert not set(shown) & set(hidden)
        assert 0 < len(hidden) <= 2
    assert (batch.decoder_stream[batch.targets != IGNORE] == 4).all()


def test_a_sequence_is_hidden_whole(held_out: EvalSplit, config: EvaluationConfig) -> None:
    model = world.make_model(held_out.streams)
    asked = question_streams(model, "caption", common_inputs({"all": held_out.streams}))
    masker = Masker(asked, question_masking(asked[-1], asked, config))
    samples = held_out.tokens.read(range(16), [stream.name for stream in asked])
    batch = masker(samples, torch.Generator().manual_seed(0))
    assert not (batch.visible & (batch.stream == len(asked) - 1)).any()
    for row in range(16):
        length = int(samples["caption"].lengths[row])
        said = batch.targets[row][batch.targets[row] != IGNORE].tolist()
        assert said[:length] == samples["caption"].values[row, :length].tolist()
        assert len(said) == length + 1


def test_the_masked_question_does_not_depend_on_what_else_an_arm_knows(
    held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig
) -> None:
    """Two models of equal weights, one with one stream more, give equal losses."""
    large = world.make_model(held_out.streams)
    small = world.make_model(world.streams_without(held_out.streams, "t5_caption"))
    _copy(large, small)
    common = common_inputs({"large": large.streams, "small": small.streams})
    for target in ("shade", "caption"):
        unigram = reference_levels.unigrams[target]
        one = masked_cross_entropy(large, held_out, target, unigram, common, WHO, config)
        other = masked_cross_entropy(small, held_out, target, unigram, common, WHO, config)
        np.testing.assert_allclose(one.samples, other.samples, rtol=1e-4)
        assert one.chance == pytest.approx(other.chance)


def test_the_same_question_twice_has_the_same_answer(
    held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM
) -> None:

    def ask(given: EvaluationConfig) -> Score:
        return masked_cross_entropy(
            learned, held_out, "shade", reference_levels.unigrams["shade"], ("rgb_pixels", "caption"), WHO, given
        )

    assert ask(config) == ask(config)
    assert ask(config).value != ask(replace(config, seed=1)).value


@pytest.mark.parametrize("target", ["shade", "caption", "rgb"])
def test_the_batch_size_changes_neither_masks_nor_figures(
    codec: Codec, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM, target: str
) -> None:
    """More samples than masks are drawn for at once, in batches that divide a chunk, do not, and exceed it."""
    held_out, count = world.make_split(codec, MASK_CHUNK + 9, seed=300, noise=0.05), MASK_CHUNK + 9

    def ask(size: int) -> Score:
        given = replace(config, num_samples=count, batch_size=size)
        return masked_cross_entropy(
            learned,
            held_out,
            target,
            reference_levels.unigrams[target],
            common_inputs({"": held_out.streams}),
            WHO,
            given,
        )

    whole = ask(MASK_CHUNK)
    assert len(whole.samples) == count
    for size in (2, 7, 100):
        score = ask(size)
        np.testing.assert_allclose(score.samples, whole.samples, rtol=1e-3, atol=1e-5)
        assert score.value == pytest.approx(whole.value, rel=1e-4)
        assert score.chance == pytest.approx(whole.chance, rel=1e-6)


def test_an_arm_that_shares_nothing_is_asked_all_the_same(
    held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig, learned: FourM
) -> None:
    for target in ("shade", "caption"):
        score = masked_cross_entropy(learned, held_out, target, reference_levels.unigrams[target], (), WHO, config)
        assert np.isfinite(score.value)


def test_ids_beyond_the_heads_classes_count_as_in_the_models_own_loss(
    held_out: EvalSplit, reference_levels: ReferenceLevels
) -> None:
    stream = token_stream(world.find_stream(held_out.streams, "caption"))
    known = sorted(
        {int(token) for row in held_out.tokens.read(range(40), ["caption"])["caption"].values for token in row}
    )
    fewer = replace(stream, predictable=tuple(known[1:]))
    model = world.make_model([fewer if item.name == "caption" else item for item in held_out.streams])
    samples = held_out.tokens.read(range(40), ["rgb_pixels", "caption"])
    batch = select(samples, model.streams, inputs=["rgb_pixels"], targets=["caption"])
    table = torch.zeros(9, len(fewer.predictable)).log_softmax(-1)
    with torch.no_grad():
        own = model(batch).losses["caption"]
        found = token_losses(
            model,
            batch,
            model.encode(batch),
            "caption",
            replace(reference_levels.unigrams["caption"], log_probability=table),
        )
    assert found.model.mean() == pytest.approx(float(own), rel=1e-5)
    assert found.chance.mean() == pytest.approx(np.log(len(fewer.predictable)), rel=1e-5)
    assert int((class_indices(batch.targets[batch.targets != IGNORE], fewer.predictable) == 0).sum()) > 0


def _copy(source: FourM, target: FourM) -> None:
    """Weights of equal streams; the embedding of a stream goes by its name."""
    given = source.state_dict()
    chosen = [source.index[stream.name] for stream in target.streams]
    for name, weight in target.state_dict().items():
        if weight.shape == given[name].shape:
            weight.copy_(given[name])
        else:
            assert "stream" in name
            weight.copy_(given[name][chosen])
