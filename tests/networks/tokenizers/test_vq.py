"""The codebook against plain numpy and against the library that it wraps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from networks.tokenizers.config import CodebookKind, TokenizerConfig
from networks.tokenizers.vq import Codebook

CONFIG = TokenizerConfig(ema_decay=0.8, revive_below=0.0, kmeans_init=False)


def latents(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 16, 6, generator=torch.Generator().manual_seed(seed))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("kind", list(CodebookKind))
def test_the_nearest_code_is_that_of_numpy_and_of_the_library(kind: CodebookKind) -> None:
    torch.manual_seed(0)
    book = Codebook(6, 20, replace(CONFIG, codebook=kind)).eval()
    x = latents()
    rows, codes = x.reshape(-1, 6).numpy().astype(np.float64), book.vectors.numpy().astype(np.float64)
    if kind is CodebookKind.cosine:
        distance = -(rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ codes.T
    else:
        distance = ((rows[:, None] - codes[None]) ** 2).sum(-1)
    expected = distance.argmin(1).reshape(4, 16)
    np.testing.assert_array_equal(book.nearest(x).numpy(), expected)
    np.testing.assert_array_equal(book.quantize(x)[1].numpy(), expected)


@pytest.mark.parametrize("kind", list(CodebookKind))
def test_a_training_step_is_the_librarys(kind: CodebookKind) -> None:
    torch.manual_seed(0)
    book = Codebook(6, 20, replace(CONFIG, codebook=kind))
    library = VectorQuantize(
        dim=6, codebook_size=20, decay=0.8, use_cosine_sim=kind is CodebookKind.cosine, rotation_trick=False
    )
    library.load_state_dict(book.quantize.state_dict())
    x = latents().requires_grad_()
    ours, (codes, ids, commitment) = book(x, generator()), library(x)
    assert torch.equal(ours.ids, ids)
    torch.testing.assert_close(ours.codes, codes)
    torch.testing.assert_close(ours.commitment, commitment.squeeze())
    torch.testing.assert_close(book.vectors, library.codebook)


def test_codes_follow_the_exponential_average_of_their_latents() -> None:
    torch.manual_seed(0)
    book = Codebook(6, 5, replace(CONFIG, codebook=CodebookKind.euclidean))
    before, x = book.vectors.clone(), latents()
    ids = book(x, generator()).ids.flatten()
    counts = torch.bincount(ids, minlength=5).double()
    sums = torch.zeros(5, 6, dtype=torch.float64).index_add_(0, ids, x.reshape(-1, 6).double())
    expected = (0.8 * before.double() + 0.2 * sums) / (0.8 + 0.2 * counts)[:, None]
    torch.testing.assert_close(book.vectors.double(), expected, atol=1e-4, rtol=1e-4)


def test_a_code_that_nothing_uses_is_given_a_latent_of_the_batch() -> None:
    torch.manual_seed(0)
    book = Codebook(6, 20, replace(CONFIG, codebook=CodebookKind.euclidean, revive_below=0.5))
    book.quantize.codebook = torch.cat([book.vectors[:10], torch.full((10, 6), 100.0)])
    draw = generator()
    for step in range(12):
        book(latents(8, seed=step), draw)
    ids = book.eval().nearest(latents(64, seed=50))
    assert float(book.vectors.max()) < 50
    assert set(ids.flatten().tolist()) == set(range(20))


def test_clusters_of_the_first_batch_are_the_first_codes_where_asked_for() -> None:
    torch.manual_seed(0)
    book = Codebook(6, 8, replace(CONFIG, codebook=CodebookKind.euclidean, kmeans_init=True))
    centres = 10 * torch.eye(4, 6)
    x = centres[torch.arange(64) % 4].view(4, 16, 6) + 0.01 * latents()
    commitment = book(x, generator()).commitment.detach()
    assert float(commitment) < 0.5 * float(x.var(dim=(0, 1)).mean())
    assert bool(book.quantize.state_dict()["_codebook.initted"])


def test_synchronising_keeps_what_was_learnt() -> None:
    book = Codebook(6, 20, CONFIG)
    book(latents(), generator())
    before = {name: value.clone() for name, value in book.state_dict().items()}
    book.synchronize()
    assert all(torch.equal(before[name], value) for name, value in book.state_dict().items())
