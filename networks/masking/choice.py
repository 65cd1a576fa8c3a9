"""From token budgets to chosen places: grids by random places, sequences by random spans, many streams at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from networks.masking.grids import choose_positions, grid_selection
from networks.masking.picks import Selection, concatenate_selections
from networks.masking.spans import (
    Spans,
    sample_hidden,
    shuffle_chunks,
    target_selection,
    target_tokens,
    visible_selection,
    visible_tokens,
)
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """What each stream of each sample has, and how much of it is seen and asked for."""

    lengths: Int[ndarray, "b s"]
    num_visible: Int[ndarray, "b s"]
    """Most tokens that the encoder sees; a grid shows just as many."""
    num_targets: Int[ndarray, "b s"]
    """Most tokens that are asked for; of a sequence, sentinels counted."""
    keep_rate: Float[ndarray, "b s"]
    """Share of a sequence's tokens that are kept, before they are fitted to what may be seen."""

    def active_rows(self, stream_indices: list[int]) -> "_ActiveRows":
        """What the streams ``numbers`` have to see or to ask for, under one another."""
        num_streams = self.lengths.shape[1]
        lengths, num_visible, num_targets, keep_rate = (
            item[:, stream_indices].ravel()
            for item in (self.lengths, self.num_visible, self.num_targets, self.keep_rate)
        )
        row = (np.arange(len(self.lengths))[:, None] * num_streams + np.array(stream_indices)).ravel()
        active = np.flatnonzero((lengths > 0) & (num_visible + num_targets > 0))
        return _ActiveRows(
            row=row[active],
            lengths=lengths[active],
            num_visible=num_visible[active],
            num_targets=num_targets[active],
            keep_rate=keep_rate[active],
        )


@dataclass(frozen=True, kw_only=True)
class _ActiveRows:
    """A plan's entries that matter, one after another."""

    row: Int[ndarray, " r"]
    """Sample times number of streams, plus stream."""
    lengths: Int[ndarray, " r"]
    num_visible: Int[ndarray, " r"]
    num_targets: Int[ndarray, " r"]
    keep_rate: Float[ndarray, " r"]


def select_tokens(
    streams: Sequence[Stream], plan: MaskPlan, rng: np.random.Generator, *, shuffle: bool
) -> tuple[Selection, Selection]:
    """What the encoder and the decoder get of each stream.

    Args:
        shuffle: True where chunks that may come in any order are put in a random one.
    """
    encoder, decoder = [], []
    grids, sequences = _group_streams(streams)
    for num_positions, stream_indices in grids.items():
        rows = plan.active_rows(stream_indices)
        num_visible, num_targets = choose_positions(rows.num_visible, rows.num_targets, num_positions, rng)
        encoder.append(grid_selection(rows.row, num_visible, is_target=False))
        decoder.append(grid_selection(rows.row, num_targets, is_target=True))
    for chunk, stream_indices in sequences.items():
        visible, hidden = _select_spans(plan.active_rows(stream_indices), chunk, rng, shuffle=shuffle)
        encoder.append(visible)
        decoder.append(hidden)
    return concatenate_selections(encoder), concatenate_selections(decoder)


def _select_spans(
    rows: _ActiveRows, chunk: int, rng: np.random.Generator, *, shuffle: bool
) -> tuple[Selection, Selection]:
    """The visible and the hidden part of each sequence."""
    width = int(rows.lengths.max(initial=1))
    if chunk > 1 and shuffle:
        columns = shuffle_chunks(rows.lengths, width, chunk, rng)
    else:
        columns = np.broadcast_to(np.arange(width), (len(rows.row), width))
    hidden = sample_hidden(rows.lengths, rows.num_visible, rows.keep_rate, width, chunk, rng)
    spans = Spans(columns=columns, lengths=rows.lengths, hidden=hidden)
    # One token alone, a sentinel, is given but leaves nothing to ask for.
    max_targets = np.where(rows.num_targets > 1, rows.num_targets, 0)
    window_position = np.zeros(len(max_targets))
    window_position[max_targets > 0] = rng.random(np.count_nonzero(max_targets))
    target_part = target_tokens(spans, max_targets, window_position)
    return visible_selection(visible_tokens(spans, rows.num_visible > 0), rows.row), target_selection(
        target_part, rows.row
    )


def _group_streams(streams: Sequence[Stream]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Indices of grids by their number of places, and of sequences by their chunk."""
    grids: dict[int, list[int]] = {}
    sequences: dict[int, list[int]] = {}
    for index, stream in enumerate(streams):
        match stream:
            case GridStream() | PixelStream():
                grids.setdefault(stream.num_tokens, []).append(index)
            case SequenceStream():
                sequences.setdefault(stream.chunk, []).append(index)
            case EmbeddingStream():
                sequences.setdefault(1, []).append(index)
            case _:
                assert_never(stream)
    return grids, sequences
