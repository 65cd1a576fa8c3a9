"""Linear maps against torch's."""

import pytest
import torch
from torch import nn

from networks.devices import is_mkl_on_amd, processor
from networks.linear import FEW_ROWS, Map


@pytest.mark.parametrize("rows", [(1,), (5, 1), (2, 3, 4), (FEW_ROWS,), (FEW_ROWS + 1,), (0, 2)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("is_turned", [False, True])
def test_a_map_of_few_rows_is_torchs_linear_map_and_contiguous(
    rows: tuple[int, ...], bias: bool, is_turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("networks.linear.is_mkl_on_amd", lambda: is_turned)
    torch.manual_seed(0)
    ours, x = Map(12, 20, bias=bias), torch.randn(*rows, 12)
    with torch.no_grad():
        answer = ours(x)
    expected = x.double() @ ours.weight.double().T + (ours.bias.double() if bias else 0)
    torch.testing.assert_close(answer.double(), expected, atol=1e-5, rtol=1e-5)
    assert answer.is_contiguous()


def test_a_map_takes_gradients_as_torchs_linear_map_does() -> None:
    torch.manual_seed(0)
    ours, theirs, x = Map(12, 20), nn.Linear(12, 20), torch.randn(3, 12)
    theirs.load_state_dict(ours.state_dict())
    for item in (ours, theirs):
        item(x).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize(("maker", "expected"), [("AuthenticAMD", True), ("GenuineIntel", False), ("aarch64", False)])
def test_the_processors_maker_decides_how_few_rows_are_multiplied(
    maker: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("networks.devices.processor", lambda line: maker if line == "vendor_id" else "")
    monkeypatch.setattr("torch.backends.mkl.is_available", lambda: True)
    assert is_mkl_on_amd.__wrapped__() is expected
    monkeypatch.setattr("torch.backends.mkl.is_available", lambda: False)
    assert is_mkl_on_amd.__wrapped__() is False


def test_a_processor_has_a_name_even_without_the_line_that_is_asked_for() -> None:
    assert processor()
    assert processor("no such line")
