"""A table of vectors that are looked up by row, whose gradient can stay in place from step to step."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class RowTable(nn.Module):
    """A table whose last row stays zero."""

    table: nn.Parameter
    retains_grad: bool = False
    """True to add gradients to the table's own, in place; `zero_grads` then fills it with zeros.

    A batch touches few rows of a large table, yet autograd makes a gradient of the whole size for each use, in memory
    that a CPU must first be given page by page. The price: `torch.autograd.grad` and hooks do not work on the table.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.padding = rows
        self.table = nn.Parameter(torch.zeros(rows + 1, width))

    def lookup(self, row: Int[Tensor, "*slots"]) -> Float[Tensor, "*slots d"]:
        """The vector of each row."""
        if self.retains_grad and torch.is_grad_enabled():
            vectors: Tensor = _RowLookup.apply(self.table, row, self.padding)  # type: ignore[no-untyped-call]
            return vectors
        return F.embedding(row, self.table, padding_idx=self.padding)

    def slices(self, spans: Mapping[str, tuple[int, int]]) -> dict[str, Float[Tensor, "_ d"]]:
        """Runs of rows, given as (first, number) and covering all rows but the last.

        They are cut in one operation, whose gradient fills the table once and not once for each.
        """
        if self.retains_grad and torch.is_grad_enabled():
            return {name: _RowSlice.apply(self.table, *span) for name, span in spans.items()}  # type: ignore[no-untyped-call]
        splits = self.table.split([*(size for _, size in spans.values()), 1])
        return dict(zip(spans, splits, strict=False))


def retain_table_grads(model: nn.Module) -> None:
    """Keep the gradients of a model's tables in place, for training on one CPU.

    Each step must then begin with `zero_grads`: an optimizer's ``zero_grad`` would free the memory.
    """
    for module in model.modules():
        if isinstance(module, RowTable):
            module.retains_grad = True


def zero_grads(model: nn.Module) -> None:
    """Begin a step: zeros in the gradients that stay in place, None in all others."""
    kept = {id(item.table) for item in model.modules() if isinstance(item, RowTable) and item.retains_grad}
    for weight in model.parameters():
        if id(weight) in kept and weight.grad is not None:
            weight.grad.zero_()
        else:
            weight.grad = None


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
    """The table's gradient; zeros if it has none yet."""
    if table.grad is None:
        table.grad = torch.zeros_like(table)
    return table.grad
