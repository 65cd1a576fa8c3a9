"""Product codes against a loop."""

import math

import torch

from modalities.tokenizer_specs import ReconstructionLoss
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.vector import Memcodes, VectorTokenizer


def memcodes() -> Memcodes:
    torch.manual_seed(0)
    return Memcodes(3, 7, 12, temperature=1.0)


def test_codes_and_values_are_those_of_a_loop_over_parts() -> None:
    codes, latents = memcodes().requires_grad_(requires_grad=False), torch.randn(5, 12)
    logits = codes.logits(latents)
    ids = logits.argmax(-1)
    values = codes.lookup(ids)
    for sample in range(5):
        for part in range(3):
            piece = slice(4 * part, 4 * part + 4)
            keys = [code @ codes.to_keys[part] for code in codes.codes[part]]
            scores = [float(latents[sample, piece] @ key) / math.sqrt(4) for key in keys]
            torch.testing.assert_close(logits[sample, part], torch.tensor(scores))
            best = scores.index(max(scores))
            assert int(ids[sample, part]) == best
            torch.testing.assert_close(values[sample, piece], codes.codes[part, best] @ codes.to_values[part])


def test_codes_are_drawn_as_often_as_the_softmax_says() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    weights, ids = memcodes().gumbel_sample(logits.expand(40_000, 1, 4).clone(), torch.Generator().manual_seed(1))
    share = torch.bincount(ids.flatten(), minlength=4) / 40_000
    torch.testing.assert_close(share, logits.softmax(0), atol=0.01, rtol=0)
    torch.testing.assert_close(weights, torch.nn.functional.one_hot(ids, 4).float())


def test_the_gradient_of_a_draw_is_that_of_the_softmax() -> None:
    logits = torch.randn(6, 2, 5, requires_grad=True)
    slope = torch.randn(6, 2, 5)
    weights, _ = memcodes().gumbel_sample(logits, torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((weights * slope).sum(), logits)
    noise = torch.empty(6, 2, 5).exponential_(generator=torch.Generator().manual_seed(2)).log().neg()
    (expected,) = torch.autograd.grad((((logits + noise).softmax(-1)) * slope).sum(), logits)
    torch.testing.assert_close(gradient, expected)


def test_only_training_draws() -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(mlp_width=16, mlp_depth=1, mlp_latent=16)
    tokenizer = VectorTokenizer(
        channels=6, num_tokens=4, vocab_size=9, loss=ReconstructionLoss.smooth_l1, config=config
    )
    x = torch.randn(32, 6)
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    assert not torch.equal(*(tokenizer.loss(x, seed).ids for seed in seeds))
    tokenizer.eval()
    assert torch.equal(*(tokenizer.loss(x, seed).ids for seed in seeds))
