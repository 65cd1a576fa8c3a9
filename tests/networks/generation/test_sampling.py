"""Guidance, truncation and drawing against the formulas and against counted draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from networks.generation.sampling import apply_guidance, filter_logits, sample_tokens
from networks.streams import token_stream
from tests.networks.small import INDEX, small_model


def test_guidance_is_the_weighted_sum_of_differences() -> None:
    free, one, two = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(apply_guidance(torch.cat([free, one]), (3.0,)), free + 3 * (one - free))
    several = apply_guidance(torch.cat([free, one, two]), (2.0, -0.5))
    torch.testing.assert_close(several, free + 2 * (one - free) - 0.5 * (two - free))
    torch.testing.assert_close(apply_guidance(torch.cat([free, one]), (1.0,)), one)
    assert apply_guidance(free, ()) is free


def test_guidance_before_a_head_is_that_of_its_logits_and_what_it_cannot_say_stays_unsaid() -> None:
    model = small_model()
    made = replace(token_stream(model.streams[INDEX["caption"]]), predictable=(4, 5, 9))
    model.streams = tuple(made if stream.name == "caption" else stream for stream in model.streams)
    decoded = torch.randn(6, 4, 16, dtype=torch.float64)
    free, first, second = model.stream_logits(decoded, "caption")[..., [4, 5, 9]].chunk(3)
    answer = model.stream_logits(apply_guidance(decoded, (2.0, -0.5)), "caption")
    torch.testing.assert_close(
        answer[..., [4, 5, 9]], free + 2.0 * (first - free) - 0.5 * (second - free), atol=1e-4, rtol=1e-4
    )
    assert torch.isneginf(answer).sum() == 2 * 4 * (20 - 3)


def test_what_is_known_to_be_cold_is_drawn_as_what_is_found_to_be() -> None:
    torch.manual_seed(0)
    logits, cold, uniform = torch.randn(3, 5, 7), torch.zeros(3), torch.rand(3, 5)
    ids, likely = sample_tokens(logits, cold, uniform, is_greedy=True)
    expected, share = sample_tokens(logits, cold, uniform)
    assert torch.equal(ids, expected)
    torch.testing.assert_close(likely, share)


@given(st.integers(0, 2**31), st.floats(0.05, 0.99))
@settings(max_examples=40, deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_p(seed: int, p: float) -> None:
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    kept = ~torch.isneginf(filter_logits(logits, 0, p))[0]
    probability = np.sort(logits.softmax(-1)[0].numpy())[::-1]
    expected = int(np.searchsorted(probability.cumsum(), p)) + 1
    assert int(kept.sum()) == min(expected, 12)
    assert logits[0][kept].min() >= logits[0][~kept].max() if (~kept).any() else True


def test_top_k_counts_or_takes_a_share() -> None:
    logits = torch.arange(10.0)[None]
    assert (~torch.isneginf(filter_logits(logits, 3, 1)))[0].nonzero()[:, 0].tolist() == [7, 8, 9]
    assert (~torch.isneginf(filter_logits(logits, 0.25, 1)))[0].nonzero()[:, 0].tolist() == [8, 9]
    assert torch.equal(filter_logits(logits, 0, 1), logits)
    assert (~torch.isneginf(filter_logits(logits, 0.01, 1e-9))).sum() == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_have_the_distribution_of_the_logits_over_the_temperature(temperature: float) -> None:
    logits = torch.tensor([1.0, -torch.inf, 0.0, 2.0, -1.0])
    n = 20_000
    uniform = torch.rand(1, n, generator=torch.Generator().manual_seed(0))
    ids, probability = sample_tokens(logits.expand(1, n, 5), torch.tensor([temperature]), uniform)
    expected = (logits / temperature).softmax(-1)
    assert torch.allclose(probability[0], expected[ids[0]])
    there = torch.tensor([0, 2, 3, 4])
    counts = torch.bincount(ids[0], minlength=5)
    assert counts[1] == 0
    assert (
        stats.chisquare(
            counts[there].numpy(), n * (expected[there] / expected.sum()).double().numpy(), sum_check=False
        ).pvalue
        > 1e-3
    )


def test_at_temperature_0_the_likeliest_is_taken_and_of_equals_the_lower() -> None:
    logits = torch.tensor([[[0.0, 2.0, 2.0], [1.0, 0.0, -1.0]]])
    ids, probability = sample_tokens(logits, torch.zeros(1), torch.tensor([[0.99, 0.99]]))
    assert ids.tolist() == [[1, 0]]
    torch.testing.assert_close(probability[0], logits[0].softmax(-1)[[0, 1], [1, 0]])


def test_the_ends_of_the_random_numbers_draw_what_can_be_drawn() -> None:
    logits = torch.tensor([[[-torch.inf, 0.3, 0.1, -torch.inf]] * 2])
    for _ in range(3):
        ids, _ = sample_tokens(logits, torch.ones(1), torch.tensor([[0.0, 1 - 2.0**-24]]))
        assert ids.tolist() == [[1, 2]]
