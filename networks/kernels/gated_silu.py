"""The gate of SwiGLU, with one gradient for both of its halves."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from networks.kernels.torch_ops import silu_backward


def gated_silu(both: Float[Tensor, "*rows twice"]) -> Float[Tensor, "*rows hidden"]:
    """``silu(gate) * up`` of the halves ``gate`` and ``up`` of ``both`` (Shazeer 2020, arXiv:2002.05202).

    autograd would write the gradients of the halves apart and then copy them together.
    """
    if torch.compiler.is_compiling():
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up
    gated: Tensor = _GatedSiLUFunction.apply(both)  # type: ignore[no-untyped-call]
    return gated


class _GatedSiLUFunction(torch.autograd.Function):
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
        silu_backward(grad_output * up, gate, out=gate_grad)
        return output
