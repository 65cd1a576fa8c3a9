"""Linear maps by the library that multiplies fastest on the processor at hand."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from networks.devices import has_avx512, is_mkl_on_amd

M = TypeVar("M", bound=nn.Module)

MOST_PACKED = 2**30
"""Bytes of weights above which a `packed_copy` keeps no second form of them."""


NARROW = 128
"""Inputs or outputs of a map below which torch multiplies: oneDNN gains too little there for what Python costs."""

NARROW_IN_TRAINING = 32
"""The same where vectors have 512 bits, in training, whose shapes come again and again."""


def narrow() -> int:
    """Inputs or outputs of a map below which torch multiplies, here and now."""
    return NARROW_IN_TRAINING if torch.is_grad_enabled() and has_avx512() else NARROW


def rounded(rows: int) -> int:
    """The number of rows to be multiplied in place of ``rows``, up to an eighth more.

    oneDNN writes a program for every new shape, which takes longer than many a product (docs/performance.md), and keeps
    the last thousand of them: numbers that differ from batch to batch are best made few. With others it is ``rows``.
    """
    if not is_mkl_on_amd():
        return rows
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step


def product(
    x: Float[Tensor, "*rows d"], weight: Float[Tensor, "v d"], bias: Float[Tensor, " v"] | None = None
) -> Float[Tensor, "*rows v"]:
    """``x @ weight.T + bias``.

    torch gives products in fp32 to Intel's MKL, which leaves a fifth of an AMD processor unused, and most of it where
    rows are few. oneDNN, which comes with torch too and is what torch's own compiler calls, does not
    (docs/performance.md), so that on processors of AMD's it multiplies.
    """
    if not _is_for_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(item is not None and item.requires_grad for item in (x, weight, bias)):
        answer: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return answer
    return _by_onednn(x, weight, bias)


def swiglu(
    x: Float[Tensor, "*rows d"], weight: Float[Tensor, "twice d"], bias: Float[Tensor, " twice"] | None = None
) -> Float[Tensor, "*rows hidden"]:
    """``silu(gate) * up``, where gate and up are the halves of `product` (Shazeer 2020, arXiv:2002.05202)."""
    if not torch.is_grad_enabled() and _is_for_onednn(x, weight):
        return _swiglu_by_onednn(x, weight.chunk(2), bias)
    both = product(x, weight, bias)
    if torch.compiler.is_compiling() or min(weight.shape) < narrow():
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up
    gated: Tensor = _Gated.apply(both)  # type: ignore[no-untyped-call]
    return gated


class Map(nn.Linear):
    """A linear map by `product`, or with ``gated`` one by `swiglu`, whose weights are those of gate and up."""

    packed: tuple[Tensor, ...] = ()
    """The weights, or gate and up, in the order in which oneDNN reads them; none but in a `packed_copy`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, gated: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.gated = gated

    def forward(self, input: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The map's answer for each row."""
        if self.packed and not torch.is_grad_enabled() and _is_for_onednn(input, self.weight):
            if self.gated:
                return _swiglu_by_onednn(input, self.packed, self.bias)
            return _by_onednn(input, self.packed[0], self.bias)
        return (swiglu if self.gated else product)(input, self.weight, self.bias)


def packed_copy(module: M) -> M:
    """The module for many calls without gradients while its weights stay as they are: a copy that shares them.

    Where oneDNN multiplies, its maps hold their weights a second time, in the order in which oneDNN reads them, which
    it would otherwise produce at every call. For few rows that takes longer than the product.
    """
    maps = [item for item in module.modules() if isinstance(item, Map)]
    small = sum(item.weight.nbytes for item in maps) <= MOST_PACKED
    return _copied(module, {id(item): _packed(item.weight, 1 + item.gated) for item in maps} if small else {})


class Fixed:
    """`product` with a weight that stays as it is, for many calls without gradients."""

    def __init__(self, weight: Float[Tensor, "v d"]) -> None:
        self.weight = weight.detach()
        self.packed = _packed(self.weight, 1)

    def __call__(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The product for each row."""
        if self.packed and _is_for_onednn(x, self.weight):
            return _by_onednn(x, self.packed[0], None)
        return product(x, self.weight)


def _packed(weight: Float[Tensor, "v d"], parts: int) -> tuple[Tensor, ...]:
    """Equal parts of a weight as oneDNN reads them; none where it is not what multiplies."""
    is_wide = min(weight.shape) >= NARROW
    if not (is_wide and weight.device.type == "cpu" and weight.dtype is torch.float32 and is_mkl_on_amd()):
        return ()
    reorder = torch.ops.mkldnn._reorder_linear_weight  # noqa: SLF001
    with torch.no_grad():
        return tuple(reorder(part) for part in weight.detach().chunk(parts))


def _copied(module: M, packs: Mapping[int, tuple[Tensor, ...]]) -> M:
    twin = copy(module)
    twin._modules = {  # noqa: SLF001  torch has no public way to a copy that shares its weights.
        name: None if child is None else _copied(child, packs)
        for name, child in module._modules.items()  # noqa: SLF001
    }
    if isinstance(twin, Map):
        twin.packed = packs.get(id(module), ())
    return twin


class _Product(torch.autograd.Function):
    """`product` by oneDNN with its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _by_onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = wanted.reshape(-1, wanted.shape[-1])
        return (
            _by_onednn(wanted, weight.T, None) if of_x else None,
            _sum_of_outer_products(rows, x.reshape(-1, x.shape[-1])) if of_weight else None,
            rows.sum(dim=0) if of_bias else None,
        )


def _sum_of_outer_products(rows: Float[Tensor, "r v"], x: Float[Tensor, "r d"]) -> Float[Tensor, "v d"]:
    """``rows.T @ x``, a weight's gradient."""
    if not has_avx512():
        # MKL: over many rows, which is what is summed here, it is as fast, and oneDNN would first copy both.
        return rows.T @ x
    # oneDNN copies what comes first, so that is the smaller of the two.
    if x.shape[1] < rows.shape[1]:
        return _by_onednn(x.T, rows.T, None).T
    return _by_onednn(rows.T, x.T, None)


class _Gated(torch.autograd.Function):
    """``silu(gate) * up``: one gradient for both halves, which autograd would write apart and then copy together."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, dim=-1)
        answer = torch.empty_like(both)
        of_gate, of_up = answer.chunk(2, dim=-1)
        torch.mul(wanted, F.silu(gate), out=of_up)
        torch.ops.aten.silu_backward.grad_input(wanted * up, gate, grad_input=of_gate)
        return answer


def _is_for_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() > 0
        and min(weight.shape) >= narrow()
        and is_mkl_on_amd()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None, after: str = "none") -> Tensor:
    answer: Tensor = _onednn()(x, weight, bias, after, [], "")
    return answer


def _swiglu_by_onednn(x: Tensor, halves: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    gate_bias, up_bias = (None, None) if bias is None else bias.chunk(2)
    opened = _by_onednn(x, halves[0], gate_bias, "swish")
    answer: Tensor = _onednn().binary(x, opened, halves[1], up_bias, "mul")
    return answer


def _onednn() -> Any:
    """PyTorch has no public name for it that takes ordinary tensors; this is the one its compiler's code calls."""
    return torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
