"""Linear maps by the library that multiplies fastest on the processor at hand."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from networks.devices import is_mkl_on_amd


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
        gate, up = weight.chunk(2)
        gate_bias, up_bias = (None, None) if bias is None else bias.chunk(2)
        opened = _by_onednn(x, gate, gate_bias, "swish")
        answer: Tensor = _onednn().binary(x, opened, up, up_bias, "mul")
        return answer
    both = product(x, weight, bias)
    if torch.compiler.is_compiling():
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up
    gated: Tensor = _Gated.apply(both)  # type: ignore[no-untyped-call]
    return gated


class Map(nn.Linear):
    """A linear map by `product`."""

    def forward(self, input: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows v"]:
        """The map's answer for each row."""
        return product(input, self.weight, self.bias)


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
            # MKL: over many rows, which is what is summed here, it is as fast, and oneDNN would first copy both.
            rows.T @ x.reshape(-1, x.shape[-1]) if of_weight else None,
            rows.sum(dim=0) if of_bias else None,
        )


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
        and is_mkl_on_amd()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None, after: str = "none") -> Tensor:
    answer: Tensor = _onednn()(x, weight, bias, after, [], "")
    return answer


def _onednn() -> Any:
    """PyTorch has no public name for it that takes ordinary tensors; this is the one its compiler's code calls."""
    return torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
