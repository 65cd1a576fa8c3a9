"""From token budgets to chosen places: grids by random places, sequences by random spans, many streams at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from networks.grids import choose_places, grid_picks
from networks.picks import Picks, cat_picks
from networks.spans import Spans, draw_hidden, hidden_part, hidden_picks, shuffle_chunks, visible_part, visible_picks
from networks.streams import Stream, StreamKind


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each stream of each sample has, and how much of it is seen and asked for."""

    lengths: Int[ndarray, "b s"]
    seen: Int[ndarray, "b s"]
    """Most tokens that the encoder sees; a grid shows just as many."""
    asked: Int[ndarray, "b s"]
    """Most tokens that are asked for; of a sequence, sentinels counted."""
    keep: Float[ndarray, "b s"]
    """Share of a sequence's tokens that are kept, before they are fitted to what may be seen."""

    def rows(self, numbers: list[int]) -> "_Rows":
        """What the streams ``numbers`` have to see or to ask for, under one another."""
        num_streams = self.lengths.shape[1]
        lengths, seen, asked, keep = (
            item[:, numbers].ravel() for item in (self.lengths, self.seen, self.asked, self.keep)
        )
        row = (np.arange(len(self.lengths))[:, None] * num_streams + np.array(numbers)).ravel()
        active = np.flatnonzero((lengths > 0) & (seen + asked > 0))
        return _Rows(
            row=row[active], lengths=lengths[active], seen=seen[active], asked=asked[active], keep=keep[active]
        )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """A plan's entries that matter, one after another."""

    row: Int[ndarray, " r"]
    """Sample times number of streams, plus stream."""
    lengths: Int[ndarray, " r"]
    seen: Int[ndarray, " r"]
    asked: Int[ndarray, " r"]
    keep: Float[ndarray, " r"]


def choose(streams: Sequence[Stream], plan: Plan, rng: np.random.Generator, *, shuffle: bool) -> tuple[Picks, Picks]:
    """What the encoder and the decoder get of each stream.

    Args:
        shuffle: True where chunks that may come in any order are put in a random one.
    """
    encoder, decoder = [], []
    for num_places, numbers in _by(streams, (StreamKind.grid, StreamKind.pixels), lambda item: item.num_tokens).items():
        rows = plan.rows(numbers)
        seen, asked = choose_places(rows.seen, rows.asked, num_places, rng)
        encoder.append(grid_picks(rows.row, seen, asked=False))
        decoder.append(grid_picks(rows.row, asked, asked=True))
    for chunk, numbers in _by(streams, (StreamKind.sequence, StreamKind.embedding), lambda item: item.chunk).items():
        visible, hidden = _choose_spans(plan.rows(numbers), chunk, rng, shuffle=shuffle)
        encoder.append(visible)
        decoder.append(hidden)
    return cat_picks(encoder), cat_picks(decoder)


def _choose_spans(rows: _Rows, chunk: int, rng: np.random.Generator, *, shuffle: bool) -> tuple[Picks, Picks]:
    """The visible and the hidden part of each sequence."""
    width = int(rows.lengths.max(initial=1))
    if chunk > 1 and shuffle:
        columns = shuffle_chunks(rows.lengths, width, chunk, rng)
    else:
        columns = np.broadcast_to(np.arange(width), (len(rows.row), width))
    hidden = draw_hidden(rows.lengths, rows.seen, rows.keep, width, chunk, rng)
    spans = Spans(columns=columns, lengths=rows.lengths, hidden=hidden)
    # One token alone, a sentinel, is given but leaves nothing to ask for.
    most = np.where(rows.asked > 1, rows.asked, 0)
    where = np.zeros(len(most))
    where[most > 0] = rng.random(np.count_nonzero(most))
    written = hidden_part(spans, most, where)
    return visible_picks(visible_part(spans, rows.seen > 0), rows.row), hidden_picks(written, rows.row)


def _by(streams: Sequence[Stream], kinds: tuple[StreamKind, ...], key: Callable[[Stream], int]) -> dict[int, list[int]]:
    """The numbers of the streams of some kinds, by what they have in common."""
    groups: dict[int, list[int]] = {}
    for number, stream in enumerate(streams):
        if stream.kind in kinds:
            groups.setdefault(key(stream), []).append(number)
    return groups
