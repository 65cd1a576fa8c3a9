from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.samples import EvalSplit
from evaluation.scores import Score
from evaluation.tasks.base import TaskContext
from evaluation.tasks.cross_entropy import (
    MASK_CHUNK,
    common_inputs,
    masked_cross_entropy,
    masking_config,
    streams_to_mask,
)
from networks.batch import IGNORE
from networks.fourm.model import FourM
from networks.masking.masker import Masker
from tests.evaluation import world


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
            asked = streams_to_mask(model, target, common)
            masker = Masker(asked, masking_config(asked[-1], asked, config))
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
    asked = streams_to_mask(model, "rgb", common)
    assert [stream.name for stream in asked] == ["caption", "glow", "shade", "t5_caption", "rgb"]
    masker = Masker(asked, masking_config(asked[-1], asked, config))
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
    asked = streams_to_mask(model, "caption", common_inputs({"all": held_out.streams}))
    masker = Masker(asked, masking_config(asked[-1], asked, config))
    samples = held_out.tokens.read(range(16), [stream.name for stream in asked])
    batch = masker(samples, torch.Generator().manual_seed(0))
    assert not (batch.visible & (batch.stream == len(asked) - 1)).any()
    for row in range(16):
        length = int(samples["caption"].lengths[row])
        said = batch.targets[row][batch.targets[row] != IGNORE].tolist()
        assert said[:length] == samples["caption"].values[row, :length].tolist()
        assert len(said) == length + 1


def test_the_masked_tokens_do_not_depend_on_the_further_modalities_of_an_arm(
    context: TaskContext, held_out: EvalSplit
) -> None:
    """Two models of equal weights, one with one stream more, give equal losses."""
    large = world.make_model(held_out.streams)
    small = world.make_model(world.streams_without(held_out.streams, "t5_caption"))
    _copy(large, small)
    common = common_inputs({"large": large.streams, "small": small.streams})
    for target in ("shade", "caption"):
        one = masked_cross_entropy(replace(context, model=large, common_inputs=common), target)
        other = masked_cross_entropy(replace(context, model=small, common_inputs=common), target)
        np.testing.assert_allclose(one.samples, other.samples, rtol=1e-4)
        assert one.chance == pytest.approx(other.chance)


def test_the_same_measurement_twice_gives_the_same_score(context: TaskContext) -> None:
    def measure(seed: int) -> Score:
        changed = replace(context, common_inputs=("rgb_pixels", "caption"), config=replace(context.config, seed=seed))
        return masked_cross_entropy(changed, "shade")

    assert measure(0) == measure(0)
    assert measure(0).value != measure(1).value


@pytest.mark.parametrize("target", ["shade", "caption", "rgb"])
def test_the_batch_size_changes_neither_masks_nor_scores(context: TaskContext, target: str) -> None:
    """More samples than masks are drawn for at once, in batches that divide a chunk, do not, and exceed it."""
    count = MASK_CHUNK + 9
    held_out = world.make_split(context.codec, count, seed=300, noise=0.05)

    def measure(size: int) -> Score:
        config = replace(context.config, num_samples=count, batch_size=size)
        return masked_cross_entropy(replace(context, held_out=held_out, config=config), target)

    whole = measure(MASK_CHUNK)
    assert len(whole.samples) == count
    for size in (2, 7, 100):
        score = measure(size)
        np.testing.assert_allclose(score.samples, whole.samples, rtol=1e-3, atol=1e-5)
        assert score.value == pytest.approx(whole.value, rel=1e-4)
        assert score.chance == pytest.approx(whole.chance, rel=1e-6)


def test_an_arm_that_shares_nothing_is_measured_all_the_same(context: TaskContext) -> None:
    for target in ("shade", "caption"):
        score = masked_cross_entropy(replace(context, common_inputs=()), target)
        assert np.isfinite(score.value)
        # A caption alone may be shown whole.
        assert score.num_samples == context.num_samples if target == "shade" else score.num_samples > 0
        assert score.value > 0.1


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
