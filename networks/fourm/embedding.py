"""From chosen tokens, patches and vectors to the vectors that the encoder and the decoder work on.

All vocabularies lie in one table, all positions in another, so that a batch is embedded by one look-up in each,
however many streams there are.
"""

from collections.abc import Sequence
from typing import Any, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from networks.batch import TokenBatch
from networks.layers.positions import sincos_1d, sincos_2d
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream


def vocabulary_ranges(streams: Sequence[Stream]) -> tuple[dict[str, tuple[int, int]], int]:
    """Where each vocabulary lies in the table, as (first row, rows), and the number of rows in all."""
    spans: dict[str, tuple[int, int]] = {}
    total = 0
    for stream in streams:
        if isinstance(stream, TokenStream) and stream.vocabulary not in spans:
            spans[stream.vocabulary] = (total, stream.vocab_size)
            total += stream.vocab_size
    return spans, total


def position_table_size(stream: Stream) -> int:
    """Rows that a stream takes in the position table.

    A hidden token of a sequence can bring a sentinel with it, and a sentinel closes the whole.
    """
    match stream:
        case GridStream() | PixelStream():
            return stream.num_tokens
        case SequenceStream() | EmbeddingStream():
            return stream.num_positions or 2 * stream.num_tokens + 2
        case _:
            assert_never(stream)


class PositionEmbedding(nn.Module):
    """Position codes and stream codes: what tells equal tokens at different places or of different streams apart."""

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
        """The sum of each slot's position code and stream code."""
        embeddings = F.embedding(self.first[stream] + position, self.fixed) + F.embedding(stream, self.stream)
        if self.learned is None:
            return embeddings
        start = self.learned_offset[stream]
        # Row 0 belongs to streams whose positions are fixed; it takes no gradient and stays zero.
        row = torch.where(start >= 0, start + position + 1, 0)
        return embeddings + F.embedding(row, self.learned, padding_idx=0)


class TokenEmbedding(nn.Module):
    """One table for the ids of every vocabulary."""

    first: Tensor
    retains_grad: bool = False
    """True where a gradient is added to the table's, in place, and `forget_gradient` fills that with zeros.

    A batch touches few rows of a large table. As autograd does it, each use of the table makes a gradient of its whole
    size, in memory that a CPU must first be given page by page. What this gives up is `torch.autograd.grad` and hooks
    on the table.
    """

    def __init__(self, streams: Sequence[Stream], width: int) -> None:
        super().__init__()
        self.spans, total = vocabulary_ranges(streams)
        self.padding = total
        # A stream without ids points past the end, at the row that stays zero.
        first = [self.spans[item.vocabulary][0] if isinstance(item, TokenStream) else total for item in streams]
        self.register_buffer("first", torch.tensor(first), persistent=False)
        self.table = nn.Parameter(torch.zeros(total + 1, width))

    def forward(self, ids: Int[Tensor, "*slots"], stream: Int[Tensor, "*slots"]) -> Float[Tensor, "*slots d"]:
        """The vector of each id in its stream's vocabulary; zero for streams without ids."""
        row = (self.first[stream] + ids).clamp(max=self.padding)
        if self.retains_grad and torch.is_grad_enabled():
            vectors: Tensor = _RowLookup.apply(self.table, row, self.padding)  # type: ignore[no-untyped-call]
            return vectors
        return F.embedding(row, self.table, padding_idx=self.padding)

    def vocabulary_rows(self, name: str) -> Float[Tensor, "v d"]:
        """The rows of one vocabulary."""
        first, size = self.spans[name]
        return self.table[first : first + size]

    def all_vocabulary_rows(self) -> dict[str, Float[Tensor, "_ d"]]:
        """The rows of every vocabulary, cut in one operation, whose gradient fills the table once and not once each."""
        if self.retains_grad and torch.is_grad_enabled():
            return {name: _RowSlice.apply(self.table, *span) for name, span in self.spans.items()}  # type: ignore[no-untyped-call]
        splits = self.table.split([*(size for _, size in self.spans.values()), 1])
        return dict(zip(self.spans, splits, strict=False))

    def zero_table_grad(self) -> None:
        """Begin a new step."""
        if self.retains_grad and self.table.grad is not None:
            self.table.grad.zero_()
        else:
            self.table.grad = None


class _RowLookup(torch.autograd.Function):
    """Rows of a table, whose gradients are added to the table's own."""

    @staticmethod
    def forward(ctx: Any, table: nn.Parameter, row: Tensor, padding: int) -> Tensor:
        ctx.table, ctx.padding = table, padding
        ctx.save_for_backward(row)
        return F.embedding(row, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[None, None, None]:
        (row,) = ctx.saved_tensors
        table_grad = _grad_buffer(ctx.table)
        table_grad.index_add_(0, row.flatten(), grad_output.reshape(-1, grad_output.shape[-1]).to(table_grad.dtype))
        table_grad[ctx.padding] = 0.0
        return None, None, None


class _RowSlice(torch.autograd.Function):
    """A run of a table's rows, whose gradient is added to the table's own."""

    @staticmethod
    def forward(ctx: Any, table: nn.Parameter, first: int, size: int) -> Tensor:
        ctx.table, ctx.span = table, slice(first, first + size)
        return table[ctx.span]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[None, None, None]:
        _grad_buffer(ctx.table)[ctx.span].add_(grad_output)
        return None, None, None


def _grad_buffer(table: nn.Parameter) -> Tensor:
    """The table's gradient, zeros where it has none yet."""
    if table.grad is None:
        table.grad = torch.zeros_like(table)
    return table.grad


class InputProjection(nn.Module):
    """A linear map from a patch or a vector to the width, and where asked for an MLP of one hidden layer beside it."""

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


def add_packed_inputs(
    x: Float[Tensor, "b n d"], batch: TokenBatch, input_projections: nn.ModuleDict
) -> Float[Tensor, "b n d"]:
    """``x`` with every packed patch and vector added at its slot."""
    flat = x.flatten(0, 1)
    for name, rows in batch.rows.items():
        if rows.slots.numel():
            flat = flat.index_add(0, rows.slots, input_projections[name](rows.values).to(flat.dtype))
    return flat.view_as(x)
