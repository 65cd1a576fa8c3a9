"""Sequences, from left to right, with the keys and values of what is written kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modalities.text import EOS_ID, NUM_SENTINELS, SENTINEL_0
from networks.fourm import Context, FourM
from networks.generation.canvas import FIRST_SENTINEL
from networks.generation.choosing import COLD, draw, guided, truncated
from networks.generation.dice import Dice
from networks.generation.plan import Decoding

GLANCE = 16
"""Tokens between two looks at which samples have ended, on a device that has to be waited for."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What is to be written of each sample."""

    ends: Int[Tensor, " b"]
    """The id that closes it."""
    limits: Int[Tensor, " b"]
    """Most tokens, the closing one included; 0 writes nothing."""
    most: int
    """The largest limit."""
    opening: int = FIRST_SENTINEL
    """The id that is given in front of it."""
    fills: Bool[Tensor, " b"] | None = None
    """True where something is known beside the gaps; None for nowhere. There only the next sentinel can be written, and
    the text cannot end before its last gap: what is known behind an end token would be lost."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What has been written so far, behind the token that opens it."""

    ids: Int[Tensor, "b n"]
    lengths: Int[Tensor, " b"]
    """The closing token included."""
    log_probability: Float[Tensor, " b"]
    """Of all tokens together, at temperature 1 and without truncation, in nats."""
    place: int
    """How many tokens the longest has."""

    def rows(self) -> list[list[int]]:
        """Each sample's tokens, the closing one included."""
        return [row[:length] for row, length in zip(self.ids.tolist(), self.lengths.tolist(), strict=True)]


@torch.no_grad()
def write(
    model: FourM,
    contexts: Sequence[Context],
    stream: str,
    assignment: Assignment,
    decoding: Decoding,
    dice: Dice,
    weights: tuple[float, ...] = (),
) -> Iterator[Written]:
    """What is written after each token.

    Samples that have ended leave the batch when that is noticed: at once on a CPU, every `GLANCE` tokens elsewhere.

    Args:
        contexts: From `FourM.encode`: the branches of guidance one under another.
        weights: Of the branches behind the first.
    """
    number, device, branches = model.index[stream], contexts[0].values.device, 1 + len(weights)
    b, room = len(assignment.ends), assignment.most
    ids = torch.zeros(b, room, dtype=torch.int64, device=device)
    lengths, total = torch.zeros(b, dtype=torch.int64, device=device), torch.zeros(b, device=device)
    live, ended = torch.arange(b, device=device), assignment.limits <= 0
    seen, past = model.look_at(*contexts), model.caches(branches * b, room)
    given = torch.full((b,), assignment.opening, device=device)
    due = torch.full((b,), FIRST_SENTINEL + 1, device=device)
    for place in range(room):
        if device.type == "cpu" or place % GLANCE == 0:
            going = ~ended
            if not going.any():
                return
            if not going.all():
                kept = going.nonzero()[:, 0]
                seen = [[item.among(_of_branches(kept, len(item.key), len(live))) for item in own] for own in seen]
                past = [item.among(_of_branches(kept, branches * len(live), len(live))) for item in past]
                live, ended, given, due, dice = live[kept], ended[kept], given[kept], due[kept], dice.among(kept)
        row = given.repeat(branches)[:, None]
        x = model.embed_targets(row, torch.full_like(row, number), torch.full_like(row, place))
        decoded, _ = model.step(x, seen, past)
        logits = model.logits_of(guided(decoded, weights), stream)
        if assignment.fills is not None:
            logits = torch.where(
                assignment.fills[live, None, None], confined(logits, due, assignment.ends[live]), logits
            )
        given, likely = _next(logits, decoding, dice, number, place)
        ids[live, place] = torch.where(ended, 0, given)
        total[live] += torch.where(ended, 0.0, likely.to(total.dtype))
        lengths[live] += ~ended
        ended = ended | (given == assignment.ends[live]) | (place + 1 >= assignment.limits[live])
        due = due + (given == due)
        yield Written(ids=ids, lengths=lengths, log_probability=total, place=place + 1)


def _of_branches(kept: Int[Tensor, " k"], rows: int, b: int) -> Int[Tensor, " r"]:
    """Among ``rows``, which are branches of ``b`` samples one under another, those of the samples ``kept``."""
    return (torch.arange(0, rows, b, device=kept.device)[:, None] + kept).flatten()


def confined(logits: Float[Tensor, "b 1 v"], due: Int[Tensor, " b"], ends: Int[Tensor, " b"]) -> Float[Tensor, "b 1 v"]:
    """``logits`` without any sentinel but the one that is due, and without the end token before the last gap."""
    ids = torch.arange(logits.shape[-1], device=logits.device)
    is_mark = (ids >= SENTINEL_0) & (ids < SENTINEL_0 + NUM_SENTINELS)
    wrong = (is_mark & (ids != due[:, None])) | ((ids == EOS_ID) & (due != ends)[:, None])
    return logits.masked_fill(wrong[:, None], -torch.inf)


def _next(
    logits: Float[Tensor, "b 1 v"], decoding: Decoding, dice: Dice, number: int, place: int
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """The next token of each sample and its log-probability."""
    cut = truncated(logits, decoding.top_k, decoding.top_p)
    if decoding.temperature.start < COLD:
        # What `draw` would take, without its probability, which costs more than the choice.
        ids = cut.argmax(dim=-1)
    else:
        places = torch.zeros(len(logits), 1, dtype=torch.int64, device=logits.device)
        temperature = torch.full((len(logits),), decoding.temperature.start, device=logits.device)
        ids, _ = draw(cut, temperature, dice.uniform(number, place, places))
    likely = logits.log_softmax(dim=-1).gather(-1, ids[..., None])
    return ids[:, 0], likely[:, 0, 0]


def endings(gaps: list[int], known: list[int], limit: int, device: torch.device) -> Assignment:
    """The assignment of sequences with ``gaps`` sentinels among what is shown of ``known`` tokens beside them.

    Args:
        limit: Longest whole sequence.
    """
    ends = torch.tensor([FIRST_SENTINEL + number for number in gaps], device=device)
    # A sentinel before each gap but the first, which is given, and one behind the last.
    limits = [max(limit - there, 0) + number if number else 0 for number, there in zip(gaps, known, strict=True)]
    return Assignment(
        ends=ends,
        limits=torch.tensor(limits, device=device),
        most=max(limits, default=0),
        fills=torch.tensor(known, device=device) > 0 if any(known) else None,
    )
