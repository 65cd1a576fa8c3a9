"""Selection of tokens within budgets: random places of grids, random spans of sequences, many streams at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from networks.masking.ragged import Selection, concatenate_selections, flag_index, random_nested_subsets
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
    """Tokens of each stream of each sample, and the numbers to show and to predict."""

    lengths: Int[ndarray, "b s"]
    num_visible: Int[ndarray, "b s"]
    """Maximum number of visible tokens; exact for grids."""
    num_targets: Int[ndarray, "b s"]
    """Maximum number of target tokens; sentinels count in sequences."""
    keep_rate: Float[ndarray, "b s"]
    """Share of a sequence's tokens to keep, before they are cut to `num_visible`."""

    def active_rows(self, stream_indices: list[int]) -> "_ActiveRows":
        """The entries of some streams that have a visible or a target token, one after another."""
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
    """Entries of a `MaskPlan` that have something to select."""

    row: Int[ndarray, " r"]
    """Sample times number of streams, plus stream."""
    lengths: Int[ndarray, " r"]
    num_visible: Int[ndarray, " r"]
    num_targets: Int[ndarray, " r"]
    keep_rate: Float[ndarray, " r"]


def select_tokens(
    streams: Sequence[Stream], plan: MaskPlan, rng: np.random.Generator, *, shuffle: bool
) -> tuple[Selection, Selection]:
    """The tokens of all streams for the encoder and for the decoder.

    Args:
        shuffle: True to put chunks that may come in any order in a random order.
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


def choose_positions(
    num_visible: Int[ndarray, " r"], num_targets: Int[ndarray, " r"], num_positions: int, rng: np.random.Generator
) -> tuple[Bool[ndarray, "r n"], Bool[ndarray, "r n"]]:
    """The first ``num_visible`` places of a random order of each grid, and the next ``num_targets``.

    Nothing is drawn for a grid that is visible or predicted as a whole.
    """
    some = np.flatnonzero((num_visible < num_positions) & (num_targets < num_positions))
    visible = np.broadcast_to((num_visible >= num_positions)[:, None], (len(num_visible), num_positions))
    targets = np.broadcast_to((num_targets >= num_positions)[:, None], visible.shape)
    if len(some):
        num = np.stack([num_visible[some], num_visible[some] + num_targets[some]], axis=1)
        first, both = random_nested_subsets(num, num_positions, rng)
        visible, targets = visible.copy(), targets.copy()
        visible[some], targets[some] = first, both > first
    return visible, targets


def grid_selection(row: Int[ndarray, " r"], chosen: Bool[ndarray, "r n"], *, is_target: bool) -> Selection:
    """Selected places of grids, in order of position.

    Args:
        is_target: True for the decoder, whose slots hold a mask token; their input ids are not read.
    """
    found = flag_index(chosen)
    token_index = found.flat - found.row * chosen.shape[1]
    return Selection(
        row=row[found.row],
        rank=found.rank,
        position=token_index,
        token_index=token_index,
        decoder_input_index=token_index if is_target else None,
    )


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
    # A single token, the sentinel, is an input and leaves no target.
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
