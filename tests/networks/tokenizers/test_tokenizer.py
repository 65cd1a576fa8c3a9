"""The use of a codebook, and the losses, against closed forms."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from modalities.tokenizer_specs import ReconstructionLoss
from networks.tokenizers.tokenizer import codebook_usage, reconstruction_loss


def test_even_use_of_some_codes_has_their_number_as_perplexity() -> None:
    usage = codebook_usage(torch.tensor([[0, 3], [5, 7]]), 40)
    assert usage.used == pytest.approx(0.1)
    assert usage.perplexity == pytest.approx(4)
    assert not usage.is_collapsed


def test_perplexity_is_the_exponential_of_the_entropy() -> None:
    counts = np.array([5, 1, 0, 4])
    share = counts[counts > 0] / counts.sum()
    usage = codebook_usage(torch.repeat_interleave(torch.arange(4), torch.tensor(counts)), 4)
    assert usage.perplexity == pytest.approx(float(np.exp(-(share * np.log(share)).sum())))
    assert usage.used == pytest.approx(0.75)


def test_a_collapsed_codebook_is_called_low() -> None:
    assert codebook_usage(torch.zeros(100, dtype=torch.int64), 11).is_collapsed


def test_losses_are_their_textbook_forms() -> None:
    draw = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, 5, 3, 3, generator=draw), torch.randn(2, 5, 3, 3, generator=draw)
    error = (output - target).numpy()
    assert float(reconstruction_loss(ReconstructionLoss.mse, output, target)) == pytest.approx(
        (error**2).mean(), rel=1e-5
    )
    huber = np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5).mean()
    assert float(reconstruction_loss(ReconstructionLoss.smooth_l1, output, target)) == pytest.approx(huber, rel=1e-5)
    a, b = output.numpy(), target.numpy()
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert float(reconstruction_loss(ReconstructionLoss.cosine, output, target)) == pytest.approx(
        1 - cosine.mean(), rel=1e-4
    )


def test_losses_over_classes_are_those_of_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, classes = torch.randn(4, 5, 2, 2, generator=draw), torch.randint(5, (4, 2, 2), generator=draw)
    rows = logits.movedim(1, -1).reshape(-1, 5).softmax(-1).numpy()
    expected = log_loss(classes.flatten().numpy(), rows, labels=range(5))
    assert float(reconstruction_loss(ReconstructionLoss.cross_entropy, logits, classes)) == pytest.approx(
        expected, rel=1e-5
    )
    mask = (classes > 2).float()
    expected = log_loss(mask.flatten().numpy(), logits[:, 0].sigmoid().flatten().numpy())
    assert float(reconstruction_loss(ReconstructionLoss.bce, logits[:, 0], mask)) == pytest.approx(expected, rel=1e-5)
