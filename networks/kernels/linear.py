"""Linear maps by the library that multiplies fastest on the processor at hand."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from networks.kernels.cpu import has_avx512, prefers_onednn

M = TypeVar("M", bound=nn.Module)

MAX_PACKED_BYTES = 2**30
"""Bytes of weights above which a `packed_copy` keeps no second form of them."""


MIN_ONEDNN_WIDTH = 128
"""Inputs or outputs of a map below which torch multiplies: oneDNN gains too little there for what Python costs."""

MIN_ONEDNN_WIDTH_TRAINING = 32
"""The same where vectors have 512 bits, in training, whose shapes come again and again."""


def min_onednn_width() -> int:
    """Inputs or outputs of a map below which torch multiplies, here and now."""
    return MIN_ONEDNN_WIDTH_TRAINING if torch.is_grad_enabled() and has_avx512() else MIN_ONEDNN_WIDTH


def round_up_rows(rows: int) -> int:
    """The number of rows to be multiplied in place of ``rows``, up to an eighth more.

    oneDNN writes a program for every new shape, which takes longer than many a product (docs/performance.md), and keeps
    the last thousand of them: numbers that differ from batch to batch are best made few. With others it is ``rows``.
    """
    if not prefers_onednn():
        return rows
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step


def linear(
    x: Float[Tensor, "*rows d"], weight: Float[Tensor, "v d"], bias: Float[Tensor, " v"] | None = None
) -> Float[Tensor, "*rows v"]:
    """``x @ weight.T + bias``.

    torch gives products in fp32 to Intel's MKL, which leaves a fifth of an AMD processor unused, and most of it where
    rows are few. oneDNN, which comes with torch too and is what torch's own compiler calls, does not
    (docs/performance.md), so that on processors of AMD's it multiplies.
    """
    if not _use_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(item is not None and item.requires_grad for item in (x, weight, bias)):
        output: Tensor = _LinearFunction.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return output
    return _onednn_linear(x, weight, bias)


def swiglu(
    x: Float[Tensor, "*rows d"], weight: Float[Tensor, "twice d"], bias: Float[Tensor, " twice"] | None = None
) -> Float[Tensor, "*rows hidden"]:
    """``silu(gate) * up``, where gate and up are the halves of `product` (Shazeer 2020, arXiv:2002.05202)."""
    if not torch.is_grad_enabled() and _use_onednn(x, weight):
        return _onednn_swiglu(x, weight.chunk(2), bias)
    both = linear(x, weight, bias)
    if torch.compiler.is_compiling() or min(weight.shape) < min_onednn_width():
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up
    gated: Tensor = _GatedSiLUFunction.apply(both)  # type: ignore[no-untyped-call]
    return gated


class OneDNNLinear(nn.Linear):
    """A linear map by `product`, or with ``gated`` one by `swiglu`, whose weights are those of gate and up."""

    packed: tuple[Tensor, ...] = ()
    """The weights, or gate and up, in the order in which oneDNN reads them; none but in a `packed_copy`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, gated: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.gated = gated

    def forward(self, input: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The map's answer for each row."""
        if self.packed and not torch.is_grad_enabled() and _use_onednn(input, self.weight):
            if self.gated:
                return _onednn_swiglu(input, self.packed, self.bias)
            return _onednn_linear(input, self.packed[0], self.bias)
        return (swiglu if self.gated else linear)(input, self.weight, self.bias)


def copy_with_packed_weights(module: M) -> M:
    """The module for many calls without gradients while its weights stay as they are: a copy that shares them.

    Where oneDNN multiplies, its maps hold their weights a second time, in the order in which oneDNN reads them, which
    it would otherwise produce at every call. For few rows that takes longer than the product.
    """
    maps = [item for item in module.modules() if isinstance(item, OneDNNLinear)]
    small = sum(item.weight.nbytes for item in maps) <= MAX_PACKED_BYTES
    return _copy_module(module, {id(item): _pack_weight(item.weight, 1 + item.gated) for item in maps} if small else {})


class PackedLinear:
    """`product` with a weight that stays as it is, for many calls without gradients."""

    def __init__(self, weight: Float[Tensor, "v d"]) -> None:
        self.weight = weight.detach()
        self.packed = _pack_weight(self.weight, 1)

    def __call__(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The product for each row."""
        if self.packed and _use_onednn(x, self.weight):
            return _onednn_linear(x, self.packed[0], None)
        return linear(x, self.weight)


def _pack_weight(weight: Float[Tensor, "v d"], parts: int) -> tuple[Tensor, ...]:
    """Equal parts of a weight as oneDNN reads them; none where it is not what multiplies."""
    is_wide = min(weight.shape) >= MIN_ONEDNN_WIDTH
    if not (is_wide and weight.device.type == "cpu" and weight.dtype is torch.float32 and prefers_onednn()):
        return ()
    reorder = torch.ops.mkldnn._reorder_linear_weight  # noqa: SLF001
    with torch.no_grad():
        return tuple(reorder(part) for part in weight.detach().chunk(parts))


def _copy_module(module: M, packs: Mapping[int, tuple[Tensor, ...]]) -> M:
    module_copy = copy(module)
    module_copy._modules = {  # noqa: SLF001  torch has no public way to a copy that shares its weights.
        name: None if child is None else _copy_module(child, packs)
        for name, child in module._modules.items()  # noqa: SLF001
    }
    if isinstance(module_copy, OneDNNLinear):
        module_copy.packed = packs.get(id(module), ())
    return module_copy


class _LinearFunction(torch.autograd.Function):
    """`product` by oneDNN with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn_linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x_grad, needs_weight_grad, needs_bias_grad = ctx.needs_input_grad
        rows = grad_output.reshape(-1, grad_output.shape[-1])
        return (
            _onednn_linear(grad_output, weight.T, None) if needs_x_grad else None,
            _weight_grad(rows, x.reshape(-1, x.shape[-1])) if needs_weight_grad else None,
            rows.sum(dim=0) if needs_bias_grad else None,
        )


def _weight_grad(rows: Float[Tensor, "r v"], x: Float[Tensor, "r d"]) -> Float[Tensor, "v d"]:
    """``rows.T @ x``, a weight's gradient."""
    if not has_avx512():
        # MKL: over many rows, which is what is summed here, it is as fast, and oneDNN would first copy both.
        return rows.T @ x
    # oneDNN copies what comes first, so that is the smaller of the two.
    if x.shape[1] < rows.shape[1]:
        return _onednn_linear(x.T, rows.T, None).T
    return _onednn_linear(rows.T, x.T, None)


class _GatedSiLUFunction(torch.autograd.Function):
    """``silu(gate) * up``: one gradient for both halves, which autograd would write apart and then copy together."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, dim=-1)
        output = torch.empty_like(both)
        gate_grad, up_grad = output.chunk(2, dim=-1)
        torch.mul(grad_output, F.silu(gate), out=up_grad)
        torch.ops.aten.silu_backward.grad_input(grad_output * up, gate, grad_input=gate_grad)
        return output


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


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Tensor:
    output: Tensor = _linear_pointwise_op()(x, weight, bias, activation, [], "")
    return output


def _onednn_swiglu(x: Tensor, halves: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    gate_bias, up_bias = (None, None) if bias is None else bias.chunk(2)
    gate = _onednn_linear(x, halves[0], gate_bias, "swish")
    output: Tensor = _linear_pointwise_op().binary(x, gate, halves[1], up_bias, "mul")
    return output


def _linear_pointwise_op() -> Any:
    """PyTorch has no public name for it that takes ordinary tensors; this is the one its compiler's code calls."""
    return torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
