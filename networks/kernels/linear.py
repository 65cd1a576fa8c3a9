"""Matrix multiplication with oneDNN on AMD processors, with torch's own elsewhere."""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from networks.kernels.cpu import has_avx512, prefers_onednn
from networks.kernels.torch_ops import onednn_linear, reorder_weight, shared_copy

M = TypeVar("M", bound=nn.Module)

MAX_PACKED_BYTES = 2**30
"""Total weight of linear maps, in bytes, above which `copy_with_packed_weights` packs none of them."""

MIN_ONEDNN_WIDTH = 128
"""Maps with fewer inputs or outputs stay with torch: oneDNN gains less there than its call costs."""

MIN_ONEDNN_WIDTH_TRAINING = 32
"""The same in training with 512-bit vectors, where the same shapes come again and again."""


def min_onednn_width() -> int:
    """Least number of inputs and outputs of a map that oneDNN multiplies, in the current gradient mode."""
    return MIN_ONEDNN_WIDTH_TRAINING if torch.is_grad_enabled() and has_avx512() else MIN_ONEDNN_WIDTH


def round_up_rows(rows: int) -> int:
    """Number of rows to pad ``rows`` to, at most an eighth more; ``rows`` itself unless oneDNN multiplies.

    oneDNN compiles a program for each new shape, which takes longer than most products, and caches the last 1,024
    (docs/performance.md). Row numbers that differ from batch to batch are rounded to few values.
    """
    if not prefers_onednn():
        return rows
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step


def linear(
    x: Float[Tensor, "*rows d"], weight: Float[Tensor, "v d"], bias: Float[Tensor, " v"] | None = None
) -> Float[Tensor, "*rows v"]:
    """``x @ weight.T + bias``, differentiable.

    In fp32, torch multiplies with Intel's MKL, which reaches 80 % of an AMD processor's peak, and less for few rows.
    oneDNN reaches nearly all of it (docs/performance.md).
    """
    if not _use_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(item is not None and item.requires_grad for item in (x, weight, bias)):
        output: Tensor = _LinearFunction.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return output
    return onednn_linear(x, weight, bias)


def head_linear(x: Float[Tensor, "rows d"], weight: Float[Tensor, "v d"]) -> Float[Tensor, "rows v"]:
    """``x @ weight.T`` of a head, whose number of rows differs from batch to batch: narrow ones stay with torch."""
    return linear(x, weight) if x.shape[1] >= MIN_ONEDNN_WIDTH else F.linear(x, weight)


def head_rows(rows: int, width: int) -> int:
    """Number of rows to pad a head's input to."""
    return round_up_rows(rows) if width >= MIN_ONEDNN_WIDTH else rows


class OneDNNLinear(nn.Linear):
    """`torch.nn.Linear` computed by `linear`."""

    packed: Tensor | None = None
    """The weight in oneDNN's layout; None except in a `copy_with_packed_weights`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, num_maps: int = 1) -> None:
        """Take the sizes; ``num_maps`` is the number of maps that the outputs belong to, all of one size."""
        super().__init__(inputs, outputs, bias=bias)
        self.num_maps = num_maps

    def forward(self, input: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The map's output for each row."""
        if self.packed is not None and not torch.is_grad_enabled() and _use_onednn(input, self.weight):
            return onednn_linear(input, self.packed, self.bias)
        return linear(input, self.weight, self.bias)


class PackedLinear:
    """`linear` with a constant weight and no bias, for many calls without gradients."""

    def __init__(self, weight: Float[Tensor, "v d"]) -> None:
        self.weight = weight.detach()
        self.packed = _pack_weight(self.weight)

    def __call__(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The product for each row."""
        if self.packed is not None and _use_onednn(x, self.weight):
            return onednn_linear(x, self.packed, None)
        return linear(x, self.weight)


def copy_with_packed_weights(module: M) -> M:
    """A copy of ``module`` that shares its weights, for many calls without gradients while the weights stay constant.

    If oneDNN multiplies, each `OneDNNLinear` of the copy also keeps its weight in oneDNN's layout, up to
    `MAX_PACKED_BYTES` in total. Otherwise oneDNN would reorder it at every call, which for few rows takes longer than
    the product.
    """
    module_copy = shared_copy(module)
    maps = [item for item in module_copy.modules() if isinstance(item, OneDNNLinear)]
    if sum(item.weight.nbytes for item in maps) <= MAX_PACKED_BYTES:
        for item in maps:
            item.packed = _pack_weight(item.weight)
    return module_copy


def _pack_weight(weight: Float[Tensor, "v d"]) -> Tensor | None:
    """A weight in oneDNN's layout; None unless oneDNN multiplies by it."""
    is_wide = min(weight.shape) >= MIN_ONEDNN_WIDTH
    if not (is_wide and weight.device.type == "cpu" and weight.dtype is torch.float32 and prefers_onednn()):
        return None
    with torch.no_grad():
        return reorder_weight(weight.detach())


class _LinearFunction(torch.autograd.Function):
    """`onednn_linear` with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn_linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x_grad, needs_weight_grad, needs_bias_grad = ctx.needs_input_grad
        rows = grad_output.reshape(-1, grad_output.shape[-1])
        return (
            onednn_linear(grad_output, weight.T, None) if needs_x_grad else None,
            _weight_grad(rows, x.reshape(-1, x.shape[-1])) if needs_weight_grad else None,
            rows.sum(dim=0) if needs_bias_grad else None,
        )


def _weight_grad(rows: Float[Tensor, "r v"], x: Float[Tensor, "r d"]) -> Float[Tensor, "v d"]:
    """``rows.T @ x``, the gradient of a weight."""
    if not has_avx512():
        # Summed over many rows, MKL is as fast, and oneDNN would copy both operands first.
        return rows.T @ x
    # oneDNN copies its first operand, so that is the smaller of the two.
    if x.shape[1] < rows.shape[1]:
        return onednn_linear(x.T, rows.T, None).T
    return onednn_linear(rows.T, x.T, None)


def _use_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() > 0
        and min(weight.shape) >= min_onednn_width()
        and prefers_onednn()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )
