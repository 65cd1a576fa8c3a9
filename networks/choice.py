"""From token budgets to chosen tokens: grids by random places, sequences by random spans, many streams at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from networks.batch import Samples
from networks.grids import choose_places, grid_picks
from networks.picks import Picks
from networks.spans import (
    Spans,
    draw_hidden,
    hidden_part,
    hidden_picks,
    shuffle_units,
    units_of,
    visible_part,
    visible_picks,
)
from networks.streams import Stream, StreamKind


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each stream of each sample has, and how much of it is seen and asked for."""

    lengths: Int[Tensor, "b s"]
    seen: Int[Tensor, "b s"]
    """Most tokens that the encoder sees; a grid shows just as many."""
    asked: Int[Tensor, "b s"]
    """Most tokens that are asked for; of a sequence, sentinels counted."""
    keep: Float[Tensor, "b s"]
    """Share of a sequence's tokens that are kept, before they are fitted to what may be seen."""


@dataclass(frozen=True, kw_only=True)
class _Group:
    """The rows of some streams that have something to see or to ask for, under one another."""

    ids: Int[Tensor, "all n"]
    """Token ids of all rows; of vectors their places; of pixels nothing."""
    source: Int[Tensor, " r"]
    """Where the rows that matter lie in ``ids``."""
    row: Int[Tensor, " r"]
    """Sample times number of streams, plus stream."""
    lengths: Int[Tensor, " r"]
    seen: Int[Tensor, " r"]
    asked: Int[Tensor, " r"]
    keep: Float[Tensor, " r"]


def choose(
    samples: Samples, streams: Sequence[Stream], plan: Plan, generator: torch.Generator, *, shuffle: bool
) -> tuple[Picks, Picks]:
    """What the encoder and the decoder get of each stream.

    Args:
        shuffle: True where chunks that may come in any order are put in a random one.
    """
    encoder, decoder = [], []
    for num_places, numbers in _by(streams, (StreamKind.grid, StreamKind.pixels), lambda item: item.num_tokens).items():
        group = _group(samples, streams, numbers, num_places, plan)
        seen, asked = choose_places(group.seen, group.asked, num_places, generator)
        encoder.append(grid_picks(group.ids, group.source, group.row, seen, asked=False))
        decoder.append(grid_picks(group.ids, group.source, group.row, asked, asked=True))
    for chunk, numbers in _by(streams, (StreamKind.sequence, StreamKind.embedding), lambda item: item.chunk).items():
        width = max([samples[streams[number].name].values.shape[1] for number in numbers if streams[number].name in samples], default=0)
        group = _group(samples, streams, numbers, max(width, 1), plan)
        part = _spans(group, streams, chunk, generator, shuffle=shuffle)
        encoder.append(part[0])
        decoder.append(part[1])
    return Picks.cat(encoder), Picks.cat(decoder)


def _spans(
    group: _Group, streams: Sequence[Stream], chunk: int, generator: torch.Generator, *, shuffle: bool
) -> tuple[Picks, Picks]:
    """The visible and the hidden part of each sequence."""
    device = group.row.device
    ids = group.ids.index_select(0, group.source)
    units = units_of(ids, group.lengths, chunk)
    if chunk > 1 and shuffle:
        ids, units = shuffle_units(ids, group.lengths, units, generator)
    hidden = draw_hidden(group.lengths, group.seen, group.keep, generator, units, chunk)
    spans = Spans(ids=ids, lengths=group.lengths, hidden=hidden)
    texts = torch.tensor([stream.kind is StreamKind.sequence for stream in streams], device=device)
    visible = visible_part(spans, group.seen > 0, texts[group.row % len(streams)])
    # One token alone, a sentinel, is given but leaves nothing to ask for.
    most = torch.where(group.asked > 1, group.asked, 0)
    where = torch.rand(len(ids), generator=generator, device=device)
    return visible_picks(visible, group.row), hidden_picks(hidden_part(spans, most, where), group.row)


def lengths_of(samples: Samples, streams: Sequence[Stream]) -> Int[Tensor, "b s"]:
    """What each sample has of each stream; nothing of one that is not in ``samples``."""
    nothing = torch.zeros_like(next(iter(samples.values())).lengths)
    columns = [samples[stream.name].lengths if stream.name in samples else nothing for stream in streams]
    return torch.stack(columns, dim=1).long()


def _by(
    streams: Sequence[Stream], kinds: tuple[StreamKind, ...], key: Callable[[Stream], int]
) -> dict[int, list[int]]:
    """The numbers of the streams of some kinds, by what they have in common."""
    groups: dict[int, list[int]] = {}
    for number, stream in enumerate(streams):
        if stream.kind in kinds:
            groups.setdefault(key(stream), []).append(number)
    return groups


def _group(samples: Samples, streams: Sequence[Stream], numbers: list[int], width: int, plan: Plan) -> _Group:
    """The rows of the streams ``numbers`` that have a part in the plan."""
    b, num_streams = plan.lengths.shape
    device = plan.lengths.device
    ids = torch.zeros((b, len(numbers), width), dtype=torch.int64, device=device)
    for index, number in enumerate(numbers):
        stream = streams[number]
        if stream.kind is StreamKind.embedding:
            ids[:, index] = torch.arange(width, device=device)
        elif stream.kind is not StreamKind.pixels and stream.name in samples:
            values = samples[stream.name].values
            ids[:, index, : values.shape[1]] = values
    numbered = torch.tensor(numbers, device=device)
    lengths, seen, asked, keep = (
        item.index_select(1, numbered).flatten() for item in (plan.lengths, plan.seen, plan.asked, plan.keep)
    )
    row = (torch.arange(b, device=device)[:, None] * num_streams + numbered).flatten()
    (active,) = ((lengths > 0) & (seen + asked > 0)).nonzero(as_tuple=True)
    return _Group(
        ids=ids.flatten(0, 1),
        source=active,
        row=row[active],
        lengths=lengths[active],
        seen=seen[active],
        asked=asked[active],
        keep=keep[active],
    )
