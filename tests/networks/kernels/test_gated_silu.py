"""The gate of SwiGLU against its formula in double precision."""

import pytest
import torch

from networks.kernels.gated_silu import gated_silu


@pytest.mark.parametrize("rows", [(), (5,), (2, 3), (0,)])
def test_the_gate_and_its_gradient_are_those_of_the_formula(rows: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    both = torch.randn(*rows, 14, requires_grad=True)
    double = both.detach().double().requires_grad_()
    gate, up = double[..., :7], double[..., 7:]
    expected = gate / (1 + torch.exp(-gate)) * up
    found = gated_silu(both)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(found)
    found.backward(upstream)
    expected.backward(upstream.double())
    assert both.grad is not None
    assert double.grad is not None
    torch.testing.assert_close(both.grad.double(), double.grad, atol=1e-5, rtol=1e-5)
