import numpy as np
import pytest
import torch
from scipy.special import xlogy

from evaluation.unigram import PRIOR_WEIGHTS, Unigram


def left_out_likelihood(samples: np.ndarray, vocab_size: int, weight: float) -> float:
    """The mean log-likelihood of each token (sample, place) under all others, by taking it out and counting again."""
    total = 0.0
    for row, place in np.ndindex(samples.shape):
        kind = samples[row, place]
        others = np.delete(samples[:, place], row)
        everything = np.delete(samples.ravel(), row * samples.shape[1] + place)
        plain = ((everything == kind).sum() + 0.5) / (len(everything) + 0.5 * vocab_size)
        total += np.log(((others == kind).sum() + weight * plain) / (len(others) + weight))
    return total / samples.size


def counts_of(samples: np.ndarray, vocab_size: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.bincount(column, minlength=vocab_size) for column in samples.T])).double()


@pytest.mark.parametrize("spread", [0.05, 1.0, 20.0])
def test_the_weight_of_the_plain_unigram_is_the_one_under_which_left_out_tokens_are_most_likely(spread: float) -> None:
    rng = np.random.default_rng(3)
    places = rng.dirichlet(np.full(5, spread), size=3)
    samples = np.stack([rng.choice(5, size=12, p=share) for share in places], axis=1)
    best = max(PRIOR_WEIGHTS, key=lambda weight: left_out_likelihood(samples, 5, weight))
    plain = (np.bincount(samples.ravel(), minlength=5) + 0.5) / (samples.size + 2.5)
    counts = counts_of(samples, 5)
    expected = (counts.numpy() + best * plain) / (12 + best)
    found = Unigram.from_counts(counts).log_probability
    np.testing.assert_allclose(found[:-1].exp(), expected, rtol=1e-5)
    np.testing.assert_allclose(found[-1].exp(), plain, rtol=1e-5)


def test_probabilities_add_up_to_one_at_every_position() -> None:
    counts = torch.tensor([[5.0, 0, 0], [0, 0, 0], [1, 1, 8]], dtype=torch.float64)
    torch.testing.assert_close(Unigram.from_counts(counts).log_probability.exp().sum(1), torch.ones(4))


def test_on_many_samples_the_loss_is_the_entropy_of_each_position() -> None:
    rng = np.random.default_rng(0)
    places = rng.dirichlet(np.ones(6), size=4)

    def draw(count: int) -> np.ndarray:
        return np.stack([rng.choice(6, size=count, p=share) for share in places], axis=1)

    table = Unigram.from_counts(counts_of(draw(20000), 6))
    fresh = torch.from_numpy(draw(20000))
    losses = table.losses(fresh.flatten(), torch.arange(4).repeat(len(fresh)))
    assert losses.mean() == pytest.approx(-xlogy(places, places).sum(1).mean(), abs=0.01)


def test_a_position_never_seen_has_the_plain_unigram() -> None:
    table = Unigram.from_counts(torch.tensor([[9.0, 0.0], [0.0, 9.0]], dtype=torch.float64))
    assert table.losses(torch.tensor([1]), torch.tensor([7])) == pytest.approx(np.log(2), rel=1e-5)
