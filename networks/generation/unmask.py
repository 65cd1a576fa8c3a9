"""Grids, a few places at a time: in random order, or those that the model is surest of first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from networks.fourm import Context, FourM
from networks.generation.branches import Branches, encode_branches
from networks.generation.canvas import Part, with_known
from networks.generation.choosing import COLD, draw, guided, truncated
from networks.generation.dice import Dice
from networks.generation.plan import Decoding, Scheme
from networks.generation.schedules import tokens_per_step

ORDER = 1 << 20
"""The step whose random numbers are the random order; no schedule is as long."""


@dataclass(frozen=True, kw_only=True)
class _Timetable:
    """What each step does for each sample; samples of which more is known have less to do."""

    tokens: list[list[int]]
    """By step, then sample."""
    left: list[list[int]]
    """Tokens that are undecided before each step."""
    temperatures: Float[Tensor, "steps b"]
    is_cold: list[bool]
    """True for steps that take the likeliest token of every sample."""


def unmask(
    model: FourM,
    canvas: Mapping[str, Part],
    target: str,
    decoding: Decoding,
    branches: Branches,
    dice: Dice,
    *,
    prompted: bool,
) -> Iterator[Part]:
    """The target's part after each step; what it knows already stays.

    The encoder sees what was decided before the step, whose tokens are decided independently of each other.
    """
    part, number = canvas[target], model.index[target]
    b, n = part.ids.shape
    table = _timetable(decoding, (n - part.known.sum(dim=1)).tolist(), part.ids.device)
    rank = torch.arange(n, device=part.ids.device).expand(b, n)
    priority = dice.uniform(number, ORDER, rank)
    for step, tokens in enumerate(table.tokens):
        if not any(tokens):
            continue
        contexts = encode_branches(
            model, {**canvas, target: part}, target, branches, b, part.ids.device, prompted=prompted
        )
        is_surest = decoding.scheme is Scheme.maskgit
        asked = table.left[step] if is_surest else tokens
        keys = part.known.float() * 2 + (0.0 if is_surest else priority)
        places = keys.argsort(dim=1, stable=True)[:, : max(asked)]
        there = rank[:, : max(asked)] < _column(asked, part.ids)
        logits = grid_logits(model, contexts, target, places, there if len(set(asked)) > 1 else None, branches.weights)
        logits = truncated(logits, decoding.top_k, decoding.top_p)
        ids, confidence = draw(
            logits, table.temperatures[step], dice.uniform(number, step, places), is_cold=table.is_cold[step]
        )
        accepted = _surest(confidence, there, tokens) if is_surest else there
        part = with_known(part, places, ids, accepted, max(tokens))
        yield part


def grid_logits(
    model: FourM,
    contexts: Sequence[Context],
    target: str,
    places: Int[Tensor, "b m"],
    there: Bool[Tensor, "b m"] | None,
    weights: tuple[float, ...],
) -> Float[Tensor, "b m v"]:
    """Logits at some places of a grid, which the decoder sees all at once; ``there`` is False for padding.

    Heads are linear, so that guidance can be summed before them: one product with the table does for all branches.
    """
    # What is asked is the same in all branches; they part where the decoder looks at what they show.
    x = model.embed_targets(torch.zeros_like(places), torch.full_like(places, model.index[target]), places)
    mask = None
    if there is not None:
        # A sample without any place looks at padding, whose answer nobody uses.
        mask = (there | ~there.any(dim=1, keepdim=True))[:, None, None, :]
    decoded, _ = model.step(x, model.look_at(*contexts), None, mask)
    return model.logits_of(guided(decoded, weights), target)


def _timetable(decoding: Decoding, left: list[int], device: torch.device) -> _Timetable:
    """The schedule of each sample, which follows from what it has left to decide."""
    most = min(decoding.steps, max(left))
    counts, temperatures = [], []
    for undecided in left:
        steps = min(decoding.steps, undecided)
        tokens = tokens_per_step(decoding.tokens, steps, undecided) if undecided else []
        counts.append(tokens + [0] * (most - steps))
        temperatures.append(decoding.temperature.steps(tokens) + [0.0] * (most - steps))
    tokens_by_step = [list(row) for row in zip(*counts, strict=True)]
    before, now = [], list(left)
    for row in tokens_by_step:
        before.append(now)
        now = [undecided - taken for undecided, taken in zip(now, row, strict=True)]
    return _Timetable(
        tokens=tokens_by_step,
        left=before,
        temperatures=torch.tensor(temperatures, device=device).view(len(left), -1).T,
        is_cold=[max(row) < COLD for row in zip(*temperatures, strict=True)],
    )


def _surest(confidence: Float[Tensor, "b m"], there: Bool[Tensor, "b m"], tokens: list[int]) -> Bool[Tensor, "b m"]:
    """True at each sample's surest places, as many as ``tokens`` says."""
    order = confidence.masked_fill(~there, -1.0).argsort(dim=1, descending=True, stable=True)
    taken = torch.arange(order.shape[1], device=order.device) < _column(tokens, order)
    return torch.zeros_like(there).scatter(1, order, taken) & there


def _column(numbers: list[int], like: Tensor) -> Int[Tensor, "b 1"]:
    return torch.tensor(numbers, device=like.device)[:, None]
