"""Token budgets against the published distribution, and against a plain version that works sample by sample."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray

from modalities.errors import ConfigError
from modalities.mixtures import MaskingPreset, Mixture, all2all
from networks.masking.budgets import BudgetLimits, Budgets, sample_budgets, sample_mixture
from networks.masking.mixtures import MaskingConfig, mixture_table
from networks.streams import GridStream, Stream
from tests.reference.masking import published_stream

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "masking_budgets.json"
DRAWS = 6000


def streams_named(sizes: dict[str, int]) -> list[Stream]:
    """Streams by their published names."""
    return [published_stream(name, size) for name, size in sizes.items()]


def draw(
    streams: list[Stream],
    mixtures: list[Mixture],
    total: int,
    *,
    present: ndarray | None = None,
    redistribute: bool = False,
) -> Budgets:
    """Budgets of many samples, with equal totals on both sides."""
    shape = (DRAWS, len(streams))
    there = np.ones(shape, dtype=np.bool_) if present is None else present
    most = np.array([stream.num_tokens for stream in streams]) * there
    shared = np.array([isinstance(stream, GridStream) for stream in streams])
    totals = np.full(DRAWS, total)
    return sample_budgets(
        mixture_table(streams, mixtures),
        there,
        BudgetLimits(inputs=most, targets=most, exclusive=shared),
        totals,
        totals,
        np.random.default_rng(0),
        redistribute=redistribute,
    )


def plain_budget(alpha: ndarray, total: int, caps: ndarray, rng: np.random.Generator) -> ndarray:
    """The published rule for one sample, word by word."""
    floor = np.maximum(alpha, 1e-9)
    budget = np.floor(rng.dirichlet(floor) * total).astype(int)
    for _ in range(total - budget.sum()):
        budget[rng.dirichlet(floor).argmax()] += 1
    capped: ndarray = np.minimum(budget, caps)
    return capped


def check_same(found: ndarray, mean: float, std: float, zero: float, draws: int) -> None:
    """Four and a half standard errors: one failure in some thousand runs of the whole file, and the seed is fixed."""
    error = np.sqrt(1 / draws + 1 / len(found))
    assert found.mean() == pytest.approx(mean, abs=4.5 * std * error + 1e-9)
    assert found.std() == pytest.approx(std, rel=0.12)
    assert (found == 0).mean() == pytest.approx(zero, abs=4.5 * np.sqrt(zero * (1 - zero)) * error + 1e-9)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference numbers (../shared/reference) are not here")
@pytest.mark.parametrize("name", ["7_a0.5", "21_a1"])
def test_budgets_have_the_published_mean_spread_and_share_of_zeros(name: str) -> None:
    case = json.loads(REFERENCE.read_text())[name]
    streams = streams_named(case["max_tokens"])
    mixture = Mixture(input_alpha=case["input_alpha"], target_alpha=case["target_alpha"])
    found = draw(streams, [mixture], case["num_input"])
    for side, budget in (("input", found.inputs), ("target", found.targets)):
        for number, stream in enumerate(streams):
            want = case[side][stream.name]
            check_same(budget[:, number], want["mean"], want["std"], want["p_zero"], case["draws"])
        assert budget.sum(axis=1).mean() == pytest.approx(case[f"{side}_total"]["mean"], rel=0.01)


STREAMS = streams_named({"rgb@224": 20, "tok_a": 20, "tok_b": 9, "caption": 30, "t5_caption": 12})


@pytest.mark.parametrize(
    "mixture",
    [
        all2all(0.1),
        all2all(3.0),
        Mixture(input_alpha=0.05, input_overrides={"caption": 5.0}, target_alpha=0.5, target_overrides={"tok_a": 0.0}),
        Mixture(input_alpha=0.0, input_overrides={"rgb@224": 1000.0}, target_alpha=1.0),
    ],
)
def test_budgets_of_a_batch_are_those_drawn_sample_by_sample(mixture: Mixture) -> None:
    found = draw(STREAMS, [mixture], 16)
    rng = np.random.default_rng(1)
    table = mixture_table(STREAMS, [mixture])
    caps = np.array([stream.num_tokens for stream in STREAMS])
    shared = np.array([isinstance(stream, GridStream) for stream in STREAMS])
    inputs, targets = [], []
    for _ in range(2000):
        inputs.append(plain_budget(table.input_alpha[0], 16, caps, rng))
        targets.append(plain_budget(table.target_alpha[0], 16, np.where(shared, caps - inputs[-1], caps), rng))
    for budget, plain in ((found.inputs, np.array(inputs)), (found.targets, np.array(targets))):
        for number in range(len(STREAMS)):
            column = plain[:, number]
            assert budget[:, number].mean() == pytest.approx(column.mean(), abs=4.5 * (column.std() + 0.05) * 0.026)
            assert (budget[:, number] == 0).mean() == pytest.approx((column == 0).mean(), abs=0.055)


def test_mixtures_are_drawn_by_weight() -> None:
    mixtures = [all2all(1.0, weight=1.0), all2all(2.0, weight=0.5), all2all(3.0, weight=0.0)]
    component = draw(STREAMS, mixtures, 16).component
    np.testing.assert_allclose(np.bincount(component, minlength=3) / DRAWS, [2 / 3, 1 / 3, 0], atol=0.03)


def test_a_stream_that_a_sample_lacks_gets_nothing_and_the_others_get_all() -> None:
    present = np.ones((DRAWS, len(STREAMS)), dtype=np.bool_)
    present[::2, 1] = False
    present[::3, 3] = False
    found = draw(STREAMS, [all2all(0.01), all2all(5.0)], 8, present=present)
    for budget in (found.inputs, found.targets):
        assert (budget[~present] == 0).all()
    assert (found.inputs.sum(axis=1) == 8).all()


def test_streams_that_are_inputs_only_take_no_target_budget() -> None:
    found = draw(STREAMS, [Mixture(target_alpha=1.0, target_overrides={"t5_caption": 9.0})], 8)
    assert (found.targets[:, [0, 4]] == 0).all()
    # Nothing is lost to them: only what a cap cuts off is missing.
    fits = (found.targets < 8).all(axis=1) & (found.inputs[:, 2] == 0)
    assert (found.targets[fits].sum(axis=1) == 8).all()


def test_inputs_and_targets_of_a_grid_never_exceed_its_places() -> None:
    found = draw(STREAMS, [all2all(0.05)], 40)
    places = np.array([stream.num_tokens for stream in STREAMS])
    grids = [1, 2]
    assert (found.inputs <= places).all()
    assert ((found.inputs + found.targets)[:, grids] <= places[grids]).all()
    assert (found.inputs + found.targets)[:, grids].max() == 20


def test_tokens_above_a_cap_are_lost_as_published_unless_they_are_dealt_again() -> None:
    lost = draw(STREAMS, [all2all(0.3)], 60)
    dealt = draw(STREAMS, [all2all(0.3)], 60, redistribute=True)
    assert lost.inputs.sum(axis=1).mean() < 45
    assert (dealt.inputs.sum(axis=1) >= 58).mean() > 0.95
    assert (dealt.inputs.sum(axis=1) <= 60).all()
    assert (dealt.inputs <= [stream.num_tokens for stream in STREAMS]).all()


def test_a_mixture_that_gives_a_sample_no_input_is_not_drawn_for_it() -> None:
    present = np.array([[False, True, True, True, True], [True, True, True, True, True]] * (DRAWS // 2))
    pixels = Mixture(input_alpha=0.0, input_overrides={"rgb@224": 1000.0})
    component = draw(STREAMS, [pixels, all2all(1.0)], 8, present=present).component
    assert (component[::2] == 1).all()
    assert component[1::2].mean() == pytest.approx(0.5, abs=0.04)


def test_a_sample_that_has_nothing_gets_nothing() -> None:
    present = np.zeros((DRAWS, len(STREAMS)), dtype=np.bool_)
    found = draw(STREAMS, [all2all(1.0)], 8, present=present)
    assert found.inputs.sum() == found.targets.sum() == 0


def test_of_a_low_concentration_one_stream_dominates() -> None:
    sizes = {f"tok_{number}": 100 for number in range(6)}
    low, high = (draw(streams_named(sizes), [all2all(alpha)], 60).inputs for alpha in (0.01, 10.0))
    # Not all: what the floor leaves over goes to the winner of another draw.
    assert (low.max(axis=1) >= 55).mean() > 0.8
    assert high.max(axis=1).mean() < 20


def test_the_published_recipes_have_their_weights() -> None:
    config = MaskingConfig(recipe=MaskingPreset.fourm_21)
    assert [mixture.weight for mixture in config.components] == [1, 1, 1, 1, 1, 0.5, 0.5]
    assert [mixture.input_alpha for mixture in config.components] == [0.01, 0.1, 1, 10, 0, 0.05, 0.05]
    assert len(MaskingConfig().components) == 2
    assert MaskingConfig(recipe=MaskingPreset.all2all, alpha=0.2).components == (all2all(0.2),)


def test_component_draws_follow_the_cumulated_weights() -> None:
    table = mixture_table(STREAMS, [all2all(1.0, weight=w) for w in (0.0, 3.0, 1.0)])
    found = sample_mixture(table, np.ones((DRAWS, len(STREAMS)), dtype=np.bool_), np.random.default_rng(2))
    np.testing.assert_allclose(np.bincount(found, minlength=3) / DRAWS, [0, 0.75, 0.25], atol=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(weight=-1.0), "at least 0, got -1.0"),
        (lambda: Mixture(input_overrides={"rgb": float("nan")}), "must be finite"),
        (lambda: MaskingConfig(num_inputs=0), "masking.num_inputs must be at least 1, got 0"),
        (lambda: MaskingConfig(num_targets=4, min_targets=5), "from 0 to masking.num_targets \\(4\\), got 5"),
        (lambda: MaskingConfig(alpha=0.0), "masking.alpha must be positive"),
        (lambda: MaskingConfig(mixtures=[Mixture(weight=0.0)]), "positive weight"),
        (lambda: mixture_table(STREAMS[:1], [all2all(1.0)]), "both an input and a target for the streams rgb@224"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
