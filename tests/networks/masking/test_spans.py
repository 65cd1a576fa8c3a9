"""Span masking against the published cases, and against a plain version that works sequence by sequence."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from modalities.vocabulary import SENTINEL_0_ID
from networks.masking.ragged import RaggedRows
from networks.masking.spans import (
    KEEP_DECAY,
    MAX_SPANS,
    Spans,
    bernoulli,
    merge_spans,
    sample_hidden,
    shuffle_chunks,
    skip_infeasible_rates,
    split_spans,
    target_tokens,
    visible_tokens,
)

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "span_masking.json"
HERE = REFERENCE.exists()
without_reference = pytest.mark.skipif(not HERE, reason="the reference cases (../shared/reference) are not here")


def plain_split(ids: list[int], hidden: list[bool]) -> tuple[list[int], list[int]]:
    """Sentinels put in token by token."""
    visible, written, number = [], [], 1
    for place, token in enumerate(ids):
        if not hidden[place]:
            visible.append(token)
            continue
        if place == 0 or not hidden[place - 1]:
            visible.append(SENTINEL_0_ID + number)
            written.append(SENTINEL_0_ID + number)
            number += 1
        written.append(token)
    return visible, [*written, SENTINEL_0_ID + number]


def rows(part: RaggedRows) -> list[list[int]]:
    """The rows as lists."""
    return [piece.tolist() for piece in np.split(part.values, part.sizes.cumsum()[:-1])]


@without_reference
def test_sequences_with_a_given_mask_split_as_published() -> None:
    cases = json.loads(REFERENCE.read_text())
    for case in cases["token_level"]:
        assert split_spans(case["sequence"], case["masked"]) == (case["input"], case["target"])
        assert merge_spans(case["input"], case["target"]) == case["merged"]
    for case in cases["chunk_level"]:
        tokens = [token for chunk in case["chunks"] for token in chunk]
        hidden = [flag for chunk, flag in zip(case["chunks"], case["masked"], strict=True) for _ in chunk]
        assert split_spans(tokens, hidden) == (case["input"], case["target"])


@given(st.lists(st.tuples(st.integers(300, 900), st.booleans()), min_size=1, max_size=40))
def test_splitting_is_what_a_token_by_token_version_does_and_merging_undoes_it(pairs: list[tuple[int, bool]]) -> None:
    ids, hidden = [token for token, _ in pairs], [flag for _, flag in pairs]
    visible, written = split_spans(ids, hidden)
    assert (visible, written) == plain_split(ids, hidden)
    assert merge_spans(visible, written) == ids


def test_a_sequence_that_was_hidden_whole_merges_from_what_is_written_alone() -> None:
    assert merge_spans([], [SENTINEL_0_ID + 1, 307, 300, SENTINEL_0_ID + 2]) == [307, 300]


def test_a_sentinel_that_was_not_written_hides_nothing() -> None:
    assert merge_spans([500, SENTINEL_0_ID + 1, 501, SENTINEL_0_ID + 2], [SENTINEL_0_ID + 1, 307]) == [500, 307, 501]


def plain_hidden(length: int, budget: int, keep: float, chunk: int, rng: np.random.Generator) -> list[bool]:
    """The published rule for one sequence: draw, and draw again with nine tenths until it fits."""
    if budget == 0:
        return [True] * length
    while True:
        kept = rng.random(-(-length // chunk)) < keep
        hidden = [not kept[place // chunk] for place in range(length)]
        if len(plain_split([0] * length, hidden)[0]) <= budget:
            return hidden
        keep *= KEEP_DECAY


def draw_many(length: int, budget: int, keep: float, chunk: int, num: int = 4000, seed: int = 0) -> ndarray:
    """Masks of many equal sequences."""
    ones = np.ones(num, dtype=np.int64)
    return sample_hidden(length * ones, budget * ones, np.full(num, keep), length, chunk, np.random.default_rng(seed))


def statistics(hidden: ndarray) -> ndarray:
    """Mean and spread of the visible length and of the number of spans, and the share hidden at each end."""
    padded = np.pad(hidden, ((0, 0), (1, 0)))
    runs = (padded[:, 1:] & ~padded[:, :-1]).sum(axis=1)
    seen = (~hidden).sum(axis=1) + runs
    return np.array([seen.mean(), seen.std(), runs.mean(), runs.std(), hidden[:, 0].mean(), hidden[:, -1].mean()])


@pytest.mark.parametrize(
    ("length", "budget", "keep", "chunk"),
    [(30, 8, 0.9, 1), (30, 8, 0.3, 1), (12, 12, 0.5, 1), (60, 1, 0.7, 1), (80, 13, 1.0, 1), (15, 6, 0.8, 2)],
)
def test_masks_of_a_batch_are_those_drawn_one_by_one(length: int, budget: int, keep: float, chunk: int) -> None:
    found = draw_many(length, budget, keep, chunk)
    rng = np.random.default_rng(1)
    plain = np.array([plain_hidden(length, budget, keep, chunk, rng) for _ in range(1500)])
    scale = np.array([max(budget, 1), max(budget, 1), budget, budget, 4, 4])
    np.testing.assert_allclose(statistics(found) / scale, statistics(plain) / scale, atol=0.02)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_mask_fits_its_budget(data: st.DataObject) -> None:
    seed, chunk = data.draw(st.integers(0, 10_000)), data.draw(st.sampled_from([1, 1, 2, 3]))
    rng = np.random.default_rng(seed)
    num, width = 50, data.draw(st.integers(1, 60))
    lengths = rng.integers(0, width + 1, num)
    budget = rng.integers(0, 20, num)
    keep = rng.choice([0.0, 1.0, 0.5, 0.01], num)
    hidden = sample_hidden(lengths, budget, keep, width, chunk, rng)
    there = np.arange(width) < lengths[:, None]
    assert not (hidden & ~there).any()
    assert (hidden | ~there)[budget == 0].all()
    columns = np.broadcast_to(np.arange(width), hidden.shape)
    visible = visible_tokens(Spans(columns=columns, lengths=lengths, hidden=hidden), budget > 0)
    assert (visible.sizes <= budget).all()
    whole = (keep == 1) & (lengths <= budget)
    assert not hidden[whole].any()
    assert (hidden | ~there)[keep == 0].all()
    units = np.arange(width) // chunk
    for row, length in zip(hidden, lengths, strict=True):
        for unit in range(-(-int(length) // chunk)):
            assert len(set(row[:length][units[:length] == unit])) <= 1


def test_there_are_never_more_spans_than_sentinels() -> None:
    hidden = draw_many(1000, 900, 0.5, 1, num=20)
    spans = Spans(columns=np.zeros(hidden.shape, dtype=np.int64), lengths=np.full(20, 1000), hidden=hidden)
    assert spans.num_runs.max() <= MAX_SPANS


def test_draws_are_left_out_only_where_they_would_hardly_ever_fit() -> None:
    rng = np.random.default_rng(0)
    for length, budget in ((290, 13), (290, 100), (100, 3), (40, 1), (20, 10)):
        start = float(skip_infeasible_rates(np.array([0.95]), np.array([length]), np.array([budget]))[0])
        steps = np.log(start / 0.95) / np.log(KEEP_DECAY)
        assert steps == pytest.approx(round(steps), abs=1e-6)
        if steps > 0.5:
            hidden = ~bernoulli(np.full((20_000, 1), start / KEEP_DECAY), length, rng)[:, 0]
            assert (statistics_seen(hidden) <= budget).mean() < 5e-4


def statistics_seen(hidden: ndarray) -> ndarray:
    """Visible length of each row."""
    padded = np.pad(hidden, ((0, 0), (1, 0)))
    seen: ndarray = (~hidden).sum(axis=1) + (padded[:, 1:] & ~padded[:, :-1]).sum(axis=1)
    return seen


@given(st.lists(st.booleans(), min_size=3, max_size=40), st.integers(2, 12), st.floats(0, 0.999))
def test_targets_above_their_budget_begin_at_a_sentinel_and_fill_it(flags: list[bool], most: int, where: float) -> None:
    ids = list(range(len(flags)))
    hidden = np.array([flags])
    spans = Spans(columns=np.array([ids]), lengths=np.array([len(ids)]), hidden=hidden)
    whole = rows(target_tokens(spans, np.array([10_000]), np.array([where])))[0]
    cut = rows(target_tokens(spans, np.array([most]), np.array([where])))[0]
    if len(whole) <= most:
        assert cut == whole
        return
    sentinels = [place for place, token in enumerate(whole) if token < 0]
    begin = sentinels[int(where * (len(sentinels) - 1))]
    if len(whole) - begin < most:
        begin = next(place for place in sentinels if len(whole) - place <= most)
    assert cut == whole[begin : begin + most]


def test_rows_that_are_not_wanted_give_nothing() -> None:
    hidden = np.array([[True, False], [True, True], [False, False]])
    spans = Spans(columns=np.array([[0, 1]] * 3), lengths=np.array([2, 2, 2]), hidden=hidden)
    assert rows(target_tokens(spans, np.array([0, 9, 9]), np.zeros(3))) == [[], [-2, 0, 1, -3], [-2]]
    assert rows(visible_tokens(spans, np.array([True, False, True]))) == [[-2, 1], [], [0, 1]]


def test_chunks_come_in_any_order_and_the_end_stays_last() -> None:
    lengths = np.array([7] * 3000 + [6] * 3000)
    columns = shuffle_chunks(lengths, 7, 2, np.random.default_rng(0))
    assert (columns[:3000, 6] == 6).all()
    pairs = columns[:, :6].reshape(-1, 3, 2)
    assert (pairs[..., 1] == pairs[..., 0] + 1).all()
    assert (np.sort(columns, axis=1)[:3000] == np.arange(7)).all()
    orders, counts = np.unique(pairs[..., 0] // 2, axis=0, return_counts=True)
    assert len(orders) == 6
    np.testing.assert_allclose(counts / 6000, 1 / 6, atol=0.02)


def test_coins_have_their_probability_and_are_independent() -> None:
    found = bernoulli(np.array([[0.1, 0.9, 0.5]] * 50), 4000, np.random.default_rng(0))
    np.testing.assert_allclose(found.mean(axis=(0, 2)), [0.1, 0.9, 0.5], atol=0.004)
    both = (found[..., 1:] & found[..., :-1]).mean(axis=(0, 2))
    np.testing.assert_allclose(both, [0.01, 0.81, 0.25], atol=0.005)
