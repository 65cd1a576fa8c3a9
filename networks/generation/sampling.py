"""Sampling of tokens from logits: guidance, top-k and top-p filters, temperature."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

GREEDY_TEMPERATURE = 1e-4
"""Temperatures below this take the argmax."""


def apply_guidance(decoded: Float[Tensor, "kb *m d"], weights: tuple[float, ...]) -> Float[Tensor, "b *m d"]:
    """Combine guidance branches: the unconditional output plus each condition's weighted difference from it.

    Args:
        decoded: Inputs of heads, or finite logits: branches along the batch axis, the unconditional one first; a single
            branch without ``weights``.

    Source: classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598), summed over conditions (Liu et al. 2022,
    arXiv:2206.01714).
    """
    if not weights:
        return decoded
    unconditional, *conditional = decoded.chunk(len(weights) + 1)
    total_guided = unconditional
    for weight, part in zip(weights, conditional, strict=True):
        total_guided = total_guided + weight * (part - unconditional)
    return total_guided


def filter_logits(logits: Float[Tensor, "*m v"], top_k: float, top_p: float) -> Float[Tensor, "*m v"]:
    """``logits`` with -inf for all but the most likely tokens; the argmax always stays.

    Args:
        top_k: Number of tokens to keep, or below 1 their share of the vocabulary; 0 for all.
        top_p: Total probability of the tokens to keep (Holtzman et al. 2020, arXiv:1904.09751); 1 for all.
    """
    vocab_size = logits.shape[-1]
    if top_k:
        num = min(max(1, int(top_k if top_k >= 1 else top_k * vocab_size)), vocab_size)
        least = logits.topk(num, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probability = ordered.softmax(dim=-1)
        before = probability.cumsum(dim=-1) - probability
        dropped = before >= top_p
        dropped[..., 0] = False
        logits = logits.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), -torch.inf)
    return logits


def sample_tokens(
    logits: Float[Tensor, "b m v"],
    temperature: Float[Tensor, " b"],
    uniform: Float[Tensor, "b m"],
    *,
    is_greedy: bool = False,
) -> tuple[Int[Tensor, "b m"], Float[Tensor, "b m"]]:
    """A token at each position, and the probability with which it was drawn; the argmax at temperature 0.

    The probability of an argmax is that at temperature 1. Ties go to the lower id.

    Args:
        is_greedy: True if all temperatures are known to be 0, which spares the draw.
    """
    if is_greedy:
        ids = logits.argmax(dim=-1)
        return ids, (logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(dim=-1)).exp()
    is_greedy_row = (temperature < GREEDY_TEMPERATURE)[:, None]
    safe_temperature = torch.where(is_greedy_row, 1.0, temperature[:, None])
    probability = (logits / safe_temperature[..., None]).softmax(dim=-1)
    total_guided = probability.cumsum(dim=-1)
    total = total_guided[..., -1]
    point = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    drawn = torch.searchsorted(total_guided, point[..., None], right=True)[..., 0].clamp(max=logits.shape[-1] - 1)
    ids = torch.where(is_greedy_row, logits.argmax(dim=-1), drawn)
    return ids, probability.gather(-1, ids[..., None])[..., 0]


def check_filter(top_k: float, top_p: float) -> str | None:
    """An error in the arguments of `filter_logits`, in words; None if they are valid."""
    if not (math.isfinite(top_k) and top_k >= 0):
        return f"top_k must be 0 (all), a share below 1, or a number of tokens, got {top_k}"
    if not 0 < top_p <= 1:
        return f"top_p must be above 0 and at most 1, got {top_p}"
    return None
