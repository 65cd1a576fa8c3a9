"""Iterative decoding of grids: some positions in each step, in random order or most confident first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from networks.fourm.model import Context, FourM
from networks.generation.config import DecodingConfig, DecodingScheme
from networks.generation.counter_rng import CounterRng
from networks.generation.guidance import GuidanceBranches, encode_branches
from networks.generation.sampling import GREEDY_TEMPERATURE, apply_guidance, filter_logits, sample_tokens
from networks.generation.schedules import tokens_per_step
from networks.generation.state import KnownTokens, update_known

ORDER_STEP = 1 << 20
"""Step number for drawing the random order; no schedule is as long."""


@dataclass(frozen=True, kw_only=True)
class _StepSchedule:
    """Schedule of each sample; samples with more known tokens have fewer steps."""

    tokens: list[list[int]]
    """Tokens to decide, by step and sample."""
    remaining: list[list[int]]
    """Undecided tokens before each step."""
    temperatures: Float[Tensor, "steps b"]
    is_greedy: list[bool]
    """True for steps that take the argmax in every sample."""


def generate_grid_tokens(
    model: FourM,
    known_streams: Mapping[str, KnownTokens],
    target: str,
    decoding: DecodingConfig,
    branches: GuidanceBranches,
    rng: CounterRng,
    *,
    prompt_with_sentinel: bool,
) -> Iterator[KnownTokens]:
    """The target's part after each step; what it knows already stays.

    The encoder sees what was decided before the step, whose tokens are decided independently of each other.
    """
    part, stream_index = known_streams[target], model.index[target]
    b, n = part.ids.shape
    schedule = _step_schedule(decoding, (n - part.known.sum(dim=1)).tolist(), part.ids.device)
    rank = torch.arange(n, device=part.ids.device).expand(b, n)
    priority = rng.uniform(stream_index, ORDER_STEP, rank)
    for step, tokens in enumerate(schedule.tokens):
        if not any(tokens):
            continue
        contexts = encode_branches(
            model,
            {**known_streams, target: part},
            target,
            branches,
            b,
            part.ids.device,
            prompt_with_sentinel=prompt_with_sentinel,
        )
        is_maskgit = decoding.scheme is DecodingScheme.maskgit
        num_candidates = schedule.remaining[step] if is_maskgit else tokens
        keys = part.known.float() * 2 + (0.0 if is_maskgit else priority)
        positions = keys.argsort(dim=1, stable=True)[:, : max(num_candidates)]
        valid = rank[:, : max(num_candidates)] < _column_vector(num_candidates, part.ids)
        logits = grid_logits(
            model, contexts, target, positions, valid if len(set(num_candidates)) > 1 else None, branches.weights
        )
        logits = filter_logits(logits, decoding.top_k, decoding.top_p)
        ids, confidence = sample_tokens(
            logits,
            schedule.temperatures[step],
            rng.uniform(stream_index, step, positions),
            is_greedy=schedule.is_greedy[step],
        )
        accepted = _most_confident(confidence, valid, tokens) if is_maskgit else valid
        part = update_known(part, positions, ids, accepted, max(tokens))
        yield part


def grid_logits(
    model: FourM,
    contexts: Sequence[Context],
    target: str,
    positions: Int[Tensor, "b m"],
    valid: Bool[Tensor, "b m"] | None,
    weights: tuple[float, ...],
) -> Float[Tensor, "b m v"]:
    """Logits at some positions of a grid, decoded together; ``valid`` is False for padding.

    Heads are linear, so guidance is applied before them, and one product with the table serves all branches.
    """
    # All branches decode the same positions; they differ only in their cross-attention context.
    x = model.embed_targets(torch.zeros_like(positions), torch.full_like(positions, model.index[target]), positions)
    mask = None
    if valid is not None:
        # A sample without positions attends to padding; its output is not used.
        mask = (valid | ~valid.any(dim=1, keepdim=True))[:, None, None, :]
    decoded, _ = model.decode_step(x, model.cross_attention_kv(*contexts), None, mask)
    return model.stream_logits(apply_guidance(decoded, weights), target)


def _step_schedule(decoding: DecodingConfig, remaining: list[int], device: torch.device) -> _StepSchedule:
    """The schedule of each sample, from its number of undecided tokens."""
    max_steps = min(decoding.steps, max(remaining))
    counts, temperatures = [], []
    for num_undecided in remaining:
        steps = min(decoding.steps, num_undecided)
        tokens = tokens_per_step(decoding.tokens, steps, num_undecided) if num_undecided else []
        counts.append(tokens + [0] * (max_steps - steps))
        temperatures.append(decoding.temperature.steps(tokens) + [0.0] * (max_steps - steps))
    tokens_by_step = [list(row) for row in zip(*counts, strict=True)]
    before, now = [], list(remaining)
    for row in tokens_by_step:
        before.append(now)
        now = [num_undecided - is_accepted for num_undecided, is_accepted in zip(now, row, strict=True)]
    return _StepSchedule(
        tokens=tokens_by_step,
        remaining=before,
        temperatures=torch.tensor(temperatures, device=device).view(len(remaining), -1).T,
        is_greedy=[max(row) < GREEDY_TEMPERATURE for row in zip(*temperatures, strict=True)],
    )


def _most_confident(
    confidence: Float[Tensor, "b m"], valid: Bool[Tensor, "b m"], tokens: list[int]
) -> Bool[Tensor, "b m"]:
    """True at the ``tokens`` most confident positions of each sample."""
    order = confidence.masked_fill(~valid, -1.0).argsort(dim=1, descending=True, stable=True)
    is_accepted = torch.arange(order.shape[1], device=order.device) < _column_vector(tokens, order)
    return torch.zeros_like(valid).scatter(1, order, is_accepted) & valid


def _column_vector(numbers: list[int], like: Tensor) -> Int[Tensor, "b 1"]:
    return torch.tensor(numbers, device=like.device)[:, None]
