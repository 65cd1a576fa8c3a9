"""Span masking: hidden runs of a sequence become sentinels, and the decoder writes each sentinel and what it hides.

Source: T5 (Raffel et al. 2020, arXiv:1910.10683), section 3.1.4, as 4M (arXiv:2312.06647) draws it: token by token,
again with fewer kept tokens until the visible part fits its budget.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modalities.text import EOS_ID, NUM_SENTINELS, SENTINEL_0
from networks.picks import Picks, Ragged, marks, ranks, take

SHRINK = 0.9
"""Factor on the share of kept tokens from one draw to the next."""
MOST_DRAWS = 100
"""Draws until a sequence is hidden whole."""
MOST_SPANS = NUM_SENTINELS - 2
"""Hidden runs in one sequence: numbering begins at ``[S_1]``, and one more sentinel closes the last."""
HIDDEN_VECTOR = -1
"""What stands for a hidden run of vectors."""


def starts_of(hidden: Bool[Tensor, "r n"]) -> Bool[Tensor, "r n"]:
    """True at the first token of each hidden run."""
    return hidden & ~F.pad(hidden, (1, 0))[:, :-1]


def draw_hidden(
    lengths: Int[Tensor, " r"],
    budget: Int[Tensor, " r"],
    keep: Float[Tensor, " r"],
    generator: torch.Generator,
    units: Int[Tensor, "r n"],
    *,
    whole: bool,
) -> Bool[Tensor, "r n"]:
    """True where a token is hidden; everything where the budget is 0.

    Each unit is kept with probability ``keep``. Where the kept tokens and the sentinels do not fit the budget, all of
    the sequence is drawn again with nine tenths of that.

    Args:
        units: What is hidden or shown together: equal numbers in a row, below n.
        whole: True where every unit is one token.
    """
    n = units.shape[1]
    order = torch.arange(n, device=units.device)
    # Nothing is drawn for what is certain: all kept and within the budget, or nothing kept.
    certain = (keep >= 1) & (lengths <= budget)
    hidden = (order < lengths[:, None]) & ~certain[:, None]
    (pending,) = (~certain & (keep > 0) & (budget > 0) & (lengths > 0)).nonzero(as_tuple=True)
    keep = skip_hopeless(keep[pending], lengths[pending], budget[pending]) if whole else keep[pending]
    for _ in range(MOST_DRAWS):
        if not pending.numel():
            break
        length = lengths[pending]
        width = int(length.max())
        kept = torch.rand((len(pending), width), generator=generator, device=units.device) < keep[:, None]
        if not whole:
            kept = kept.gather(1, units[pending, :width])
        there = order[:width] < length[:, None]
        covered = there & ~kept
        num_runs = starts_of(covered).sum(dim=1)
        seen = length - covered.sum(dim=1) + num_runs
        fits = (seen <= budget[pending]) & (num_runs <= MOST_SPANS)
        hidden[pending[fits], :width] = covered[fits]
        pending, keep = pending[~fits], SHRINK * keep[~fits]
    return hidden


def skip_hopeless(
    keep: Float[Tensor, " r"], lengths: Int[Tensor, " r"], budget: Int[Tensor, " r"]
) -> Float[Tensor, " r"]:
    """``keep`` after the draws that would hardly ever have fitted: those four standard deviations above the budget.

    With a share p kept, a sequence of n shows about m = n p (2 - p) tokens and sentinels, with a variance of at most
    2 m. So a draw is hopeless where m - 4 sqrt(2 m) exceeds the budget. Most draws of long sequences are.
    """
    most = (8**0.5 + (8 + budget).sqrt()) ** 2
    limit = 1 - (1 - most / lengths).clamp_min(0).sqrt()
    steps = ((limit / keep.clamp_min(1e-12)).log() / torch.tensor(SHRINK).log()).ceil().clamp_min(0)
    return keep * torch.pow(SHRINK, steps)


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


def visible_part(
    ids: Int[Tensor, "r n"], lengths: Int[Tensor, " r"], hidden: Bool[Tensor, "r n"], is_text: Bool[Tensor, " r"]
) -> Ragged:
    """The tokens that are not hidden, each hidden run replaced by the next sentinel, or by -1 where not ``is_text``."""
    starts = starts_of(hidden)
    there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    items = starts | (there & ~hidden)
    found = marks(items)
    sentinel = SENTINEL_0 + take(starts.cumsum(dim=1), found.flat)
    sentinel = torch.where(is_text.index_select(0, found.row), sentinel, HIDDEN_VECTOR)
    values = torch.where(take(starts, found.flat), sentinel, take(ids, found.flat))
    return Ragged(values=values, sizes=items.sum(dim=1))


def hidden_part(
    ids: Int[Tensor, "r n"],
    hidden: Bool[Tensor, "r n"],
    most: Int[Tensor, " r"],
    where: Float[Tensor, " r"],
) -> Ragged:
    """Each sentinel and the run it hides, and one more sentinel that closes the whole; at most ``most`` tokens.

    What is longer begins at a random sentinel, or earlier at the first one from which the rest fits.

    Args:
        where: Uniform in [0, 1): which sentinel, where it matters.
    """
    starts = starts_of(hidden)
    number = starts.cumsum(dim=1)
    num_runs, num_hidden = number[:, -1], hidden.sum(dim=1)
    size = num_hidden + num_runs + 1
    found = marks(hidden)
    is_start = take(starts, found.flat)
    span = take(number, found.flat)
    offset = found.rank + span
    row = torch.cat([found.row, found.row[is_start], torch.arange(len(ids), device=ids.device)])
    offset = torch.cat([offset, offset[is_start] - 1, size - 1])
    sentinels = torch.cat([span[is_start], num_runs + 1]) + SENTINEL_0
    token = torch.cat([take(ids, found.flat), sentinels])
    num_tokens = len(found.flat)
    num_starts = len(sentinels) - len(ids)
    begin = _window(
        size, most, offset[num_tokens:][:num_starts], row[num_tokens:][:num_starts], num_runs, where
    )
    size = torch.minimum(size - begin, most)
    place = offset - begin.index_select(0, row)
    inside = (place >= 0) & (place < size.index_select(0, row))
    first = size.cumsum(0) - size
    values = torch.empty(int(size.sum()), dtype=ids.dtype, device=ids.device)
    values[(first.index_select(0, row) + place)[inside]] = token[inside]
    return Ragged(values=values, sizes=size)


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
    own, rank = part.row, part.rank
    return Picks(row=row.index_select(0, own), rank=rank, position=rank, ids=part.values)


def hidden_picks(part: Ragged, row: Int[Tensor, " r"]) -> Picks:
    """The decoder's slots of sequences: each is given one token and asked for the next."""
    own = part.row
    rank = ranks(part.sizes, own)
    more = rank + 1 < part.sizes.index_select(0, own)
    rank = rank[more]
    return Picks(
        row=row.index_select(0, own[more]), rank=rank, position=rank, ids=part.values.roll(-1)[more], given=part.values[more]
    )


def split_spans(ids: Sequence[int], hidden: Sequence[bool]) -> tuple[list[int], list[int]]:
    """What the encoder and what the decoder is given of one sequence whose hidden tokens are known."""
    row = torch.tensor([list(ids)])
    mask = torch.tensor([list(hidden)])
    length = torch.tensor([len(ids)])
    visible = visible_part(row, length, mask, torch.tensor([True]))
    asked = hidden_part(row, mask, 2 * length + 2, torch.zeros(1))
    return visible.lists()[0], asked.lists()[0]


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
