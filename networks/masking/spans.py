"""Span masking: hidden runs of a sequence become sentinels; the decoder writes each sentinel and the run it hides.

Source: T5 (Raffel et al. 2020, arXiv:1910.10683), section 3.1.4, as 4M (arXiv:2312.06647) draws it: token by token,
again with fewer kept tokens until the visible part fits its budget.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from modalities.vocabulary import NUM_SENTINELS, SENTINEL_0_ID
from networks.masking.ragged import RaggedRows, Selection, count_per_row, flag_index, index_within_row, random_bits

KEEP_DECAY = 0.9
"""Factor on the share of kept tokens from one draw to the next."""
INFEASIBLE_STDS = 3.5
"""Skip keep rates whose expected length exceeds the budget by this many standard deviations; fewer than one in 4,000 of
the skipped draws would have fitted."""
MIN_ATTEMPTS = 4
"""Minimum number of draws of one sequence at once."""
SAMPLES_PER_DRAW = 1 << 16
"""Approximate number of Bernoulli samples at once, which fit in a core's cache."""
MAX_SPANS = NUM_SENTINELS - 2
"""Hidden runs in one sequence: numbering begins at ``[S_1]``, and one more sentinel closes the last."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Sequences of which some tokens are hidden."""

    columns: Int[ndarray, "r n"]
    """Token of the sequence at each place, after its chunks were shuffled."""
    lengths: Int[ndarray, " r"]
    hidden: Bool[ndarray, "r n"]

    @cached_property
    def starts(self) -> Bool[ndarray, "r n"]:
        """True at the first token of each hidden run."""
        starts = self.hidden.copy()
        starts[:, 1:] &= ~self.hidden[:, :-1]
        return starts

    @cached_property
    def num_runs(self) -> Int[ndarray, " r"]:
        """Hidden runs of each sequence."""
        return count_per_row(self.starts)


def sample_hidden(
    lengths: Int[ndarray, " r"],
    budget: Int[ndarray, " r"],
    keep: Float[ndarray, " r"],
    width: int,
    chunk: int,
    rng: np.random.Generator,
) -> Bool[ndarray, "r width"]:
    """True for hidden tokens; all of them if the budget is 0.

    Each chunk is kept with probability ``keep``. If kept tokens and sentinels exceed the budget, the whole sequence is
    drawn again with nine tenths of that probability, and so on.
    """
    # Certain outcomes are not drawn: all kept and within the budget, or nothing kept.
    certain = (keep >= 1) & (lengths <= budget)
    hidden = np.arange(width) < np.where(certain, 0, lengths)[:, None]
    pending = np.flatnonzero(~certain & (keep > 0) & (budget > 0) & (lengths > 0))
    keep = skip_infeasible_rates(keep, lengths // chunk, budget)
    # Sequences of nearly equal length are drawn together, several attempts at once.
    pending = pending[np.argsort(-lengths[pending], kind="stable")]
    while len(pending):
        longest = int(lengths[pending[0]])
        num = SAMPLES_PER_DRAW // (MIN_ATTEMPTS * longest) + 1
        now, later = pending[:num], pending[num:]
        num_attempts = max(MIN_ATTEMPTS, SAMPLES_PER_DRAW // (len(now) * longest))
        share = keep[now, None] * KEEP_DECAY ** np.arange(num_attempts)
        fits, hidden_runs = _attempt(share, lengths[now], budget[now], chunk, rng)
        first = fits.argmax(axis=1)
        done = fits[np.arange(len(now)), first]
        hidden[now[done], :longest] = hidden_runs[done, first[done]]
        left = now[~done]
        keep[left] *= KEEP_DECAY**num_attempts
        pending = np.concatenate([left, later])
    return hidden


def _attempt(
    share: Float[ndarray, "r t"],
    lengths: Int[ndarray, " r"],
    budget: Int[ndarray, " r"],
    chunk: int,
    rng: np.random.Generator,
) -> tuple[Bool[ndarray, "r t"], Bool[ndarray, "r t n"]]:
    """Draws with ``share`` of the chunks kept: True for those that fit, and their hidden tokens."""
    longest = int(lengths.max())
    kept = bernoulli(share, -(-longest // chunk), rng)
    if chunk > 1:
        kept = np.repeat(kept, chunk, axis=2)[..., :longest]
    hidden_runs = (np.arange(longest) < lengths[:, None])[:, None] & ~kept
    num_runs = count_per_row(hidden_runs[..., 1:] & kept[..., :-1]) + hidden_runs[..., 0]
    num_seen = lengths[:, None] - count_per_row(hidden_runs) + num_runs
    return (num_seen <= budget[:, None]) & (num_runs <= MAX_SPANS), hidden_runs


def bernoulli(share: Float[ndarray, "r t"], num: int, rng: np.random.Generator) -> Bool[ndarray, "r t num"]:
    """``num`` samples each that are True with probability ``share`` (below 1), rounded to multiples of 1 / 65,536."""
    total = share.size * num
    # 16 random bits each; drawing floats takes three times as long.
    bits = random_bits((total + 3) // 4, rng).view(np.uint16)[:total].reshape(*share.shape, num)
    below: ndarray = bits < np.minimum(np.rint(share * 65536), 65535).astype(np.uint16)[..., None]
    return below


def skip_infeasible_rates(
    keep: Float[ndarray, " r"], num_chunks: Int[ndarray, " r"], budget: Int[ndarray, " r"]
) -> Float[ndarray, " r"]:
    """``keep`` reduced past the rates whose draws are more than `INFEASIBLE_STDS` standard deviations too long.

    At rate p, a sequence of n tokens shows about m = n p (2 - p) tokens and sentinels, with a variance of at most 2 m;
    the square root of their number then has a standard deviation of at most the square root of 1/2. Most first draws of
    long sequences are infeasible, and so is rate 1 for a sequence above its budget.
    """
    keep = np.where(keep >= 1, KEEP_DECAY, np.maximum(keep, 1e-12))
    max_tokens = (np.sqrt(budget + 1.0) + INFEASIBLE_STDS * 0.5**0.5) ** 2
    limit = 1 - np.sqrt(np.maximum(1 - max_tokens / np.maximum(num_chunks, 1), 0))
    steps = np.ceil(np.log(limit / keep) / math.log(KEEP_DECAY))
    shrunk: ndarray = keep * KEEP_DECAY ** np.maximum(steps, 0)
    return shrunk


def shuffle_chunks(
    lengths: Int[ndarray, " r"], width: int, chunk: int, rng: np.random.Generator
) -> Int[ndarray, "r n"]:
    """Token of each sequence at each place after its chunks are put in a random order.

    An incomplete last chunk, which holds the end token, stays last.
    """
    order = np.arange(width)
    keys = rng.random((len(lengths), -(-width // chunk)))
    keys[np.arange(keys.shape[1]) >= (lengths // chunk)[:, None]] = 2.0
    chunks = keys.argsort(axis=1, kind="stable")
    return chunks[:, order // chunk] * chunk + order % chunk


def visible_tokens(spans: Spans, is_shown: Bool[ndarray, " r"]) -> RaggedRows:
    """The tokens that are not hidden, each hidden run replaced by the next sentinel, counted from 1.

    Args:
        is_shown: False for rows that are left out.
    """
    there = np.arange(spans.hidden.shape[1]) < np.where(is_shown, spans.lengths, 0)[:, None]
    found = flag_index(there & (spans.starts | ~spans.hidden))
    is_start = spans.starts.ravel()[found.flat]
    values = spans.columns.ravel()[found.flat]
    values[is_start] = -2 - index_within_row(np.where(is_shown, spans.num_runs, 0))
    return RaggedRows(values=values, sizes=found.sizes)


def target_tokens(spans: Spans, max_tokens: Int[ndarray, " r"], window_position: Float[ndarray, " r"]) -> RaggedRows:
    """Each sentinel and the run it hides, and a closing sentinel; at most ``max_tokens`` tokens.

    Longer targets begin at a random sentinel, or at an earlier one if the rest fits from there.

    Args:
        window_position: Uniform in [0, 1), for the choice of that sentinel.
    """
    has_target = max_tokens > 0
    found = flag_index(spans.hidden & has_target[:, None])
    num_runs = np.where(has_target, spans.num_runs, 0)
    size = found.sizes + num_runs + has_target
    is_start = spans.starts.ravel()[found.flat]
    start = np.flatnonzero(is_start)
    start_row, span = found.row[start], 1 + index_within_row(num_runs)
    # The k-th hidden token, in run j, has k tokens and j sentinels before it; the sentinel of a run is one before it.
    sentinels_so_far = is_start.cumsum()
    offset = found.rank + sentinels_so_far - (num_runs.cumsum() - num_runs)[found.row]
    begin = _window_start(size, max_tokens, offset[start] - 1, start_row, num_runs, window_position)
    ends = np.flatnonzero(has_target)
    row = np.concatenate([found.row, start_row, ends])
    token = np.concatenate([spans.columns.ravel()[found.flat], -1 - span, -2 - num_runs[ends]])
    position = np.concatenate([offset, offset[start] - 1, size[ends] - 1]) - begin[row]
    size = np.minimum(size - begin, max_tokens)
    inside = (position >= 0) & (position < size[row])
    values = np.empty(size.sum(), dtype=np.int64)
    values[((size.cumsum() - size)[row] + position)[inside]] = token[inside]
    return RaggedRows(values=values, sizes=size)


def _window_start(
    size: Int[ndarray, " r"],
    max_tokens: Int[ndarray, " r"],
    offset: Int[ndarray, " k"],
    row: Int[ndarray, " k"],
    num_runs: Int[ndarray, " r"],
    window_position: Float[ndarray, " r"],
) -> Int[ndarray, " r"]:
    """First target of each row; ``offset`` and ``row`` belong to the sentinels, without the closing one."""
    excess = size - max_tokens
    begin = np.zeros_like(size)
    cut = np.flatnonzero((excess > 0) & (num_runs > 0))
    first = (num_runs.cumsum() - num_runs)[cut]
    drawn = offset[first + (window_position[cut] * num_runs[cut]).astype(np.int64)]
    fitting = np.where(offset >= excess[row], offset, size[row] - 1)
    earliest = size - 1
    np.minimum.at(earliest, row, fitting)
    begin[cut] = np.where(drawn <= excess[cut], drawn, earliest[cut])
    return begin


def visible_selection(part: RaggedRows, row: Int[ndarray, " r"]) -> Selection:
    """The encoder's slots of sequences; positions count visible tokens."""
    rank = index_within_row(part.sizes)
    return Selection(row=row[part.row], rank=rank, position=rank, token_index=part.values)


def target_selection(part: RaggedRows, row: Int[ndarray, " r"]) -> Selection:
    """The decoder's slots of sequences: each takes one token and predicts the next."""
    sizes = np.maximum(part.sizes - 1, 0)
    rank = index_within_row(sizes)
    position = np.repeat(part.sizes.cumsum() - part.sizes, sizes) + rank
    return Selection(
        row=row[np.repeat(np.arange(len(sizes)), sizes)],
        rank=rank,
        position=rank,
        token_index=part.values[position + 1],
        decoder_input_index=part.values[position],
    )


def split_spans(ids: Sequence[int], hidden: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Encoder ids and target ids of one sequence with these hidden tokens."""
    spans = Spans(
        columns=np.arange(len(ids))[None], lengths=np.array([len(ids)]), hidden=np.array([list(hidden)], dtype=np.bool_)
    )
    visible = visible_tokens(spans, np.array([True]))
    targets = target_tokens(spans, 2 * spans.lengths + 2, np.zeros(1))

    def read(values: Int[ndarray, " r"]) -> list[int]:
        return [ids[column] if column >= 0 else SENTINEL_0_ID - 1 - column for column in values.tolist()]

    return read(visible.values), read(targets.values)


def merge_spans(visible: Sequence[int], generated: Sequence[int]) -> list[int]:
    """``visible`` with each sentinel replaced by the tokens behind it in ``generated``.

    An empty ``visible`` is a sequence that was hidden as a whole. Sentinels missing in ``generated`` hide nothing.
    """
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in generated:
        if is_sentinel(token):
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    merged: list[int] = []
    for token in visible or [SENTINEL_0_ID + 1]:
        merged.extend(spans.get(token, []) if is_sentinel(token) else [token])
    return merged


def is_sentinel(token: int) -> bool:
    """True if ``token`` is the id of a sentinel."""
    return SENTINEL_0_ID <= token < SENTINEL_0_ID + NUM_SENTINELS
