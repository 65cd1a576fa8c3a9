"""Embeddings of tokens, patches, vectors and positions.

All vocabularies share one table and all positions another, so that a batch is embedded by one look-up in each, however
many streams there are.
"""

from collections.abc import Sequence
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from networks.batch import TokenBatch
from networks.kernels.row_table import RowTable
from networks.layers.positions import sincos_1d, sincos_2d
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream


def vocabulary_ranges(streams: Sequence[Stream]) -> tuple[dict[str, tuple[int, int]], int]:
    """Each vocabulary's (first row, number of rows) in the table, and the total number of rows."""
    spans: dict[str, tuple[int, int]] = {}
    total = 0
    for stream in streams:
        if isinstance(stream, TokenStream) and stream.vocabulary not in spans:
            spans[stream.vocabulary] = (total, stream.vocab_size)
            total += stream.vocab_size
    return spans, total


def position_table_size(stream: Stream) -> int:
    """Rows of a stream in the position table.

    A sequence of n tokens has at most 2 n + 2 positions: a sentinel for each hidden token, and one that closes it.
    """
    match stream:
        case GridStream() | PixelStream():
            return stream.num_tokens
        case SequenceStream() | EmbeddingStream():
            return stream.num_positions or 2 * stream.num_tokens + 2
        case _:
            assert_never(stream)


class PositionEmbedding(nn.Module):
    """The sum of a position embedding and a stream embedding."""

    fixed: Tensor
    first: Tensor
    learned_offset: Tensor

    def __init__(
        self, streams: Sequence[Stream], width: int, *, scale: float, max_period: float, learned: bool
    ) -> None:
        super().__init__()
        tables: list[Tensor] = []
        learned_offset, num_learned = [], 0
        for stream in streams:
            num = position_table_size(stream)
            is_learned = learned or stream.has_learned_positions
            learned_offset.append(num_learned if is_learned else -1)
            num_learned += num if is_learned else 0
            if is_learned:
                tables.append(torch.zeros(num, width))
            elif isinstance(stream, GridStream | PixelStream):
                assert stream.grid is not None  # Product codes have learned positions.
                tables.append(scale * sincos_2d(stream.grid, width, max_period, stride=stream.stride))
            else:
                tables.append(scale * sincos_1d(num, width))
        first = torch.tensor([0, *[position_table_size(stream) for stream in streams]]).cumsum(0)[:-1]
        self.register_buffer("fixed", torch.cat(tables), persistent=False)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("learned_offset", torch.tensor(learned_offset), persistent=False)
        self.learned = nn.Parameter(torch.zeros(num_learned + 1, width)) if num_learned else None
        self.stream = nn.Parameter(torch.zeros(len(streams), width))

    def forward(self, stream: Int[Tensor, "*slots"], position: Int[Tensor, "*slots"]) -> Float[Tensor, "*slots d"]:
        """The embedding of each slot's position and stream."""
        embeddings = F.embedding(self.first[stream] + position, self.fixed) + F.embedding(stream, self.stream)
        if self.learned is None:
            return embeddings
        start = self.learned_offset[stream]
        # Row 0 is for streams with fixed positions; it takes no gradient and stays zero.
        row = torch.where(start >= 0, start + position + 1, 0)
        return embeddings + F.embedding(row, self.learned, padding_idx=0)


class TokenEmbedding(RowTable):
    """One table of vectors for the ids of every vocabulary."""

    first: Tensor

    def __init__(self, streams: Sequence[Stream], width: int) -> None:
        self.spans, total = vocabulary_ranges(streams)
        super().__init__(total, width)
        # Streams without ids point past the end, at the row that stays zero.
        first = [self.spans[item.vocabulary][0] if isinstance(item, TokenStream) else total for item in streams]
        self.register_buffer("first", torch.tensor(first), persistent=False)

    def forward(self, ids: Int[Tensor, "*slots"], stream: Int[Tensor, "*slots"]) -> Float[Tensor, "*slots d"]:
        """The vector of each id in its stream's vocabulary; zero for streams without ids."""
        return self.lookup((self.first[stream] + ids).clamp(max=self.padding))

    def vocabulary_rows(self, name: str) -> Float[Tensor, "v d"]:
        """The rows of one vocabulary."""
        first, size = self.spans[name]
        return self.table[first : first + size]

    def all_vocabulary_rows(self) -> dict[str, Float[Tensor, "_ d"]]:
        """The rows of every vocabulary."""
        return self.slices(self.spans)


class InputProjection(nn.Module):
    """A linear map from patches or vectors to the model's width, optionally plus an MLP with one hidden layer."""

    def __init__(self, channels: int, width: int, *, with_mlp: bool, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, width, bias=bias)
        self.mlp = (
            nn.Sequential(nn.Linear(channels, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) if with_mlp else None
        )

    def forward(self, rows: Float[Tensor, "r c"]) -> Float[Tensor, "r d"]:
        """The vector of each row."""
        linear: Tensor = self.linear(rows)
        return linear if self.mlp is None else linear + self.mlp(rows)


def add_projected_inputs(
    x: Float[Tensor, "b n d"], batch: TokenBatch, input_projections: nn.ModuleDict
) -> Float[Tensor, "b n d"]:
    """``x`` with every packed patch and vector added at its slot."""
    flat = x.flatten(0, 1)
    for name, rows in batch.rows.items():
        if rows.slots.numel():
            flat = flat.index_add(0, rows.slots, input_projections[name](rows.values).to(flat.dtype))
    return flat.view_as(x)
