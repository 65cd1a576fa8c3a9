"""Span masking: hidden runs of a sequence become sentinels, and the decoder writes each sentinel and what it hides.

Source: T5 (Raffel et al. 2020, arXiv:1910.10683), section 3.1.4, as 4M (arXiv:2312.06647) draws it: token by token,
again with fewer kept tokens until the visible part fits its budget.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modalities.text import EOS_ID, NUM_SENTINELS, SENTINEL_0
from networks.picks import Picks, Ragged, marks, random_subsets, ranks, take, true_places

SHRINK = 0.9
"""Factor on the share of kept tokens from one draw to the next."""
MOST_ROUNDS = 100
"""Rounds of draws until a sequence is hidden whole."""
TRIES = 16
"""Draws of one sequence in one round."""
HOPELESS = math.log(1e-6)
"""Logarithm of the chance below which a draw is not made."""
MOST_SPANS = NUM_SENTINELS - 2
"""Hidden runs in one sequence: numbering begins at ``[S_1]``, and one more sentinel closes the last."""
HIDDEN_VECTOR = -1
"""What stands for a hidden run of vectors."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Sequences of which some tokens are hidden."""

    ids: Int[Tensor, "r n"]
    lengths: Int[Tensor, " r"]
    hidden: Bool[Tensor, "r n"]

    @cached_property
    def starts(self) -> Bool[Tensor, "r n"]:
        """True at the first token of each hidden run."""
        return self.hidden & ~F.pad(self.hidden, (1, 0))[:, :-1]

    @cached_property
    def number(self) -> Int[Tensor, "r n"]:
        """Hidden runs up to each token."""
        return self.starts.cumsum(dim=1, dtype=torch.int32)


def draw_hidden(
    lengths: Int[Tensor, " r"],
    budget: Int[Tensor, " r"],
    keep: Float[Tensor, " r"],
    generator: torch.Generator,
    units: Int[Tensor, "r n"],
    chunk: int,
) -> Bool[Tensor, "r n"]:
    """True where a token is hidden; everything where the budget is 0.

    Each unit is kept with probability ``keep``. Where the kept tokens and the sentinels do not fit the budget, all of
    the sequence is drawn again with nine tenths of that, and so on. A draw is made in two steps, how many units are
    kept and which, and the second only where the first leaves a chance: most draws of long sequences have none.

    Args:
        units: What is hidden or shown together: equal numbers in a row, from 0 without a gap.
        chunk: Most tokens in a unit; where 1, ``units`` is not read.
    """
    order = torch.arange(units.shape[1], device=units.device)
    # Nothing is drawn for what is certain: all kept and within the budget, or nothing kept.
    certain = (keep >= 1) & (lengths <= budget)
    hidden = (order < lengths[:, None]) & ~certain[:, None]
    num_units = lengths if chunk == 1 else units.masked_fill(order >= lengths[:, None], -1).amax(dim=1) + 1
    (pending,) = (~certain & (keep > 0) & (budget > 0) & (lengths > 0)).nonzero(as_tuple=True)
    keep = keep[pending]
    for _ in range(MOST_ROUNDS):
        if not pending.numel():
            break
        most, total, length = budget[pending], num_units[pending], lengths[pending]
        num_kept, tries = _draw_num_kept(keep, total, most, chunk, generator)
        kept = random_subsets(num_kept, total, units.shape[1], generator)
        if chunk > 1:
            kept = kept.gather(1, units[pending])
        covered = (order < length[:, None]) & ~kept
        num_runs = (covered[:, 1:] & kept[:, :-1]).sum(dim=1) + covered[:, 0]
        num_seen = length - covered.sum(dim=1) + num_runs
        fits = (num_seen <= most) & (num_runs <= MOST_SPANS)
        (done,), (left,) = fits.nonzero(as_tuple=True), (~fits).nonzero(as_tuple=True)
        hidden[pending[done]] = covered[done]
        pending, keep = pending[left], (keep * SHRINK**tries)[left]
    return hidden


def _draw_num_kept(
    keep: Float[Tensor, " r"],
    total: Int[Tensor, " r"],
    most: Int[Tensor, " r"],
    chunk: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " r"], Int[Tensor, " r"]]:
    """How many units the next draw keeps that has a chance to fit, and which draw it is, counted from 1.

    K kept of n units leave K + 1 gaps, and as many sentinels but for the gaps that are empty. Their number is
    hypergeometric with mean K (K + 1) / n, so that Chernoff's bound tells when too many would have to be empty.
    """
    share = keep[:, None] * SHRINK ** torch.arange(TRIES, device=keep.device)
    count = total[:, None].to(share.dtype)
    num_kept = torch.binomial(count.expand_as(share).contiguous(), share, generator=generator)
    # Two of the units, the last one and the end token, may be smaller than a chunk.
    least_seen = (num_kept * chunk - 2 * (chunk - 1)).clamp_min(0)
    empty = num_kept + 1 - (most[:, None] - least_seen)
    mean = (num_kept * (num_kept + 1) / count).clamp_min(1e-9)
    bound = empty * (1 + (mean / empty.clamp_min(1e-9)).log()) - mean
    chance = (least_seen + (num_kept < count) <= most[:, None]) & ((empty <= mean) | (bound > HOPELESS))
    # The last one is taken even without a chance: it will not fit, and the next round goes on from there.
    chance[:, -1] = True
    first = chance.int().argmax(dim=1)
    return num_kept.gather(1, first[:, None])[:, 0].long(), first + 1


def units_of(
    ids: Int[Tensor, "r n"], lengths: Int[Tensor, " r"], chunk: int
) -> Int[Tensor, "r n"]:
    """The chunk of each token; an end token is a chunk of its own, the last."""
    order = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    if chunk == 1:
        return order
    last = (order == lengths[:, None] - 1) & (ids == EOS_ID)
    content = lengths - last.any(dim=1).long()
    return torch.where(last, ((content + chunk - 1) // chunk)[:, None], order // chunk)


def shuffle_units(
    ids: Int[Tensor, "r n"], lengths: Int[Tensor, " r"], units: Int[Tensor, "r n"], generator: torch.Generator
) -> tuple[Int[Tensor, "r n"], Int[Tensor, "r n"]]:
    """``ids`` and ``units`` with each row's chunks in a random order; an end token stays last."""
    n = ids.shape[1]
    order = torch.arange(n, device=ids.device)
    place = torch.rand(ids.shape, generator=generator, device=ids.device).gather(1, units)
    place = torch.where((order == lengths[:, None] - 1) & (ids == EOS_ID), 2.0, place)
    place = torch.where(order < lengths[:, None], place, 3.0)
    by = place.argsort(dim=1, stable=True)
    return ids.gather(1, by), units.gather(1, by)


def visible_part(spans: Spans, shown: Bool[Tensor, " r"], is_text: Bool[Tensor, " r"]) -> Ragged:
    """The tokens that are not hidden, each hidden run replaced by the next sentinel, or by -1 where not ``is_text``.

    Args:
        shown: False for rows of which nothing is wanted.
    """
    order = torch.arange(spans.ids.shape[1], device=spans.ids.device)
    there = order < torch.where(shown, spans.lengths, 0)[:, None]
    found = marks(there & (spans.starts | ~spans.hidden))
    sentinel = SENTINEL_0 + take(spans.number, found.flat)
    sentinel = torch.where(is_text.index_select(0, found.row), sentinel, HIDDEN_VECTOR)
    values = torch.where(take(spans.starts, found.flat), sentinel, take(spans.ids, found.flat))
    return Ragged(values=values, sizes=found.sizes)


def hidden_part(spans: Spans, most: Int[Tensor, " r"], where: Float[Tensor, " r"]) -> Ragged:
    """Each sentinel and the run it hides, and one more sentinel that closes the whole; at most ``most`` tokens.

    What is longer begins at a random sentinel, or earlier at the first one from which the rest fits.

    Args:
        where: Uniform in [0, 1): which sentinel, where it matters.
    """
    wanted = most > 0
    found = marks(spans.hidden & wanted[:, None])
    num_runs = torch.where(wanted, spans.number[:, -1], 0)
    size = found.sizes + num_runs + wanted
    is_start = true_places(take(spans.starts, found.flat))
    span = take(spans.number, found.flat)
    # A sequence's k-th hidden token, in run j, has k tokens and j sentinels before it; its run's sentinel is one ahead.
    offset = found.rank + span
    start_row, start_offset = found.row.index_select(0, is_start), offset.index_select(0, is_start) - 1
    begin = _window(size, most, start_offset, start_row, num_runs, where)
    (ends,) = wanted.nonzero(as_tuple=True)
    row = torch.cat([found.row, start_row, ends])
    token = torch.cat(
        [
            take(spans.ids, found.flat),
            SENTINEL_0 + span.index_select(0, is_start),
            SENTINEL_0 + 1 + num_runs.index_select(0, ends),
        ]
    )
    place = torch.cat([offset, start_offset, size.index_select(0, ends) - 1]) - begin.index_select(0, row)
    size = torch.minimum(size - begin, most)
    inside = true_places((place >= 0) & (place < size.index_select(0, row)))
    first = size.cumsum(0) - size
    target = (first.index_select(0, row) + place).index_select(0, inside)
    values = torch.empty(len(inside), dtype=token.dtype, device=token.device)
    return Ragged(values=values.index_copy_(0, target, token.index_select(0, inside)), sizes=size)


def _window(
    size: Int[Tensor, " r"],
    most: Int[Tensor, " r"],
    offset: Int[Tensor, " k"],
    row: Int[Tensor, " k"],
    num_runs: Int[Tensor, " r"],
    where: Float[Tensor, " r"],
) -> Int[Tensor, " r"]:
    """Where each row's targets begin; ``offset`` and ``row`` are those of the sentinels, in order, the closing one not."""
    spare = size - most
    if not (spare > 0).any():
        return torch.zeros_like(size)
    first = num_runs.cumsum(0) - num_runs
    drawn = first + (where * num_runs).long().clamp_max((num_runs - 1).clamp_min(0))
    drawn = offset[drawn.clamp_max(len(offset) - 1)]
    fitting = torch.where(offset >= spare.index_select(0, row), offset, size.index_select(0, row) - 1)
    earliest = (size - 1).scatter_reduce(0, row, fitting, "amin")
    return torch.where(spare > 0, torch.where(drawn <= spare, drawn, earliest), 0)


def visible_picks(part: Ragged, row: Int[Tensor, " r"]) -> Picks:
    """The encoder's slots of sequences: positions count what is visible."""
    own = part.row
    rank = ranks(part.sizes, own)
    return Picks(row=row.index_select(0, own), rank=rank, position=rank, ids=part.values)


def hidden_picks(part: Ragged, row: Int[Tensor, " r"]) -> Picks:
    """The decoder's slots of sequences: each is given one token and asked for the next."""
    own = part.row
    rank = ranks(part.sizes, own)
    more = true_places(rank + 1 < part.sizes.index_select(0, own))
    rank = rank.index_select(0, more)
    return Picks(
        row=row.index_select(0, own.index_select(0, more)),
        rank=rank,
        position=rank,
        ids=part.values.index_select(0, more + 1),
        given=part.values.index_select(0, more),
    )


def split_spans(ids: Sequence[int], hidden: Sequence[bool]) -> tuple[list[int], list[int]]:
    """What the encoder and what the decoder is given of one sequence whose hidden tokens are known."""
    spans = Spans(
        ids=torch.tensor([list(ids)]), lengths=torch.tensor([len(ids)]), hidden=torch.tensor([list(hidden)])
    )
    every = torch.tensor([True])
    asked = hidden_part(spans, 2 * spans.lengths + 2, torch.zeros(1))
    return visible_part(spans, every, every).lists()[0], asked.lists()[0]


def merge_spans(visible: Sequence[int], written: Sequence[int]) -> list[int]:
    """The whole sequence: ``visible`` with each sentinel replaced by what ``written`` has behind it.

    An empty ``visible`` is a sequence that was hidden whole. A sentinel that ``written`` does not have hides nothing.
    """
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in written:
        if is_sentinel(token):
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    merged: list[int] = []
    for token in visible or [SENTINEL_0 + 1]:
        merged.extend(spans.get(token, []) if is_sentinel(token) else [token])
    return merged


def is_sentinel(token: int) -> bool:
    """True where ``token`` is the id of a sentinel."""
    return SENTINEL_0 <= token < SENTINEL_0 + NUM_SENTINELS
