"""Linear maps against torch's, by either library."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from networks.kernels.cpu import cpu_name, prefers_onednn
from networks.kernels.linear import OneDNNLinear, PackedLinear, copy_with_packed_weights, linear, round_up_rows

SHAPES = [(1,), (5, 1), (2, 3, 4), (97,), (0, 2)]


def _take_every_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MIN_ONEDNN_WIDTH", "MIN_ONEDNN_WIDTH_TRAINING"):
        monkeypatch.setattr(f"networks.kernels.linear.{limit}", 0)


@pytest.fixture(params=["mkl", "onednn", "onednn by 512 bits"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """True where oneDNN multiplies, whatever the processor."""
    is_onednn: bool = request.param != "mkl"
    if is_onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: is_onednn)
    monkeypatch.setattr("networks.kernels.linear.has_avx512", lambda: "512" in request.param)
    _take_every_width(monkeypatch)
    return is_onednn


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("rows", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
def test_a_map_is_torchs_linear_map_and_contiguous(rows: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    ours, x = OneDNNLinear(12, 20, bias=bias), torch.randn(*rows, 12)
    expected = x.double() @ ours.weight.double().T + (ours.bias.double() if bias else 0)
    with torch.no_grad():
        answer = ours(x)
    for item in (answer, ours(x)):
        torch.testing.assert_close(item.double(), expected, atol=1e-5, rtol=1e-5)
        assert item.is_contiguous()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", SHAPES)
def test_answers_and_gradients_are_those_of_the_formula_in_double_precision(
    library: bool, rows: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(0)
    # Every other column of what lies there, as a view of a larger tensor would be.
    x, weight, shift = torch.randn(*rows, 24)[..., ::2], torch.randn(20, 12), torch.randn(20)
    given = [x, weight, shift] if bias else [x, weight]
    single = [item.clone().requires_grad_() for item in given]
    double = [item.double().requires_grad_() for item in given]
    answer, expected = linear(*single), F.linear(*double)
    torch.testing.assert_close(answer.double(), expected, atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(linear(*given).double(), expected, atol=1e-4, rtol=1e-5)
    upstream = torch.randn_like(answer)
    answer.backward(upstream)
    expected.backward(upstream.double())
    for found, wanted in zip(single, double, strict=True):
        assert found.grad is not None
        assert wanted.grad is not None
        torch.testing.assert_close(found.grad.double(), wanted.grad, atol=1e-4, rtol=1e-5)
    if library and x.numel():
        assert "_LinearFunction" in str(linear(*single).grad_fn)


@pytest.mark.usefixtures("library")
def test_what_needs_no_gradient_gets_none() -> None:
    x, weight = torch.randn(3, 12), torch.randn(20, 12, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is None
    assert weight.grad is not None
    x, weight = x.requires_grad_(), weight.detach()
    linear(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is None


@pytest.mark.usefixtures("library")
def test_autocast_decides_in_which_precision_is_multiplied() -> None:
    ours, theirs, x = OneDNNLinear(12, 20, bias=True), nn.Linear(12, 20), torch.randn(3, 12)
    theirs.load_state_dict(ours.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x), theirs(x))
        assert ours(x).dtype is torch.bfloat16


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", SHAPES)
def test_a_packed_copy_shares_its_weights_and_answers_as_the_formula_does(
    library: bool, rows: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(0)
    norm, own, x = nn.LayerNorm(12), OneDNNLinear(12, 20, bias=bias), torch.randn(*rows, 12)
    module = nn.Sequential(norm, own)
    twin = copy_with_packed_weights(module)
    assert [id(item) for item in twin.parameters()] == [id(item) for item in module.parameters()]
    assert [item.packed is not None for item in twin.modules() if isinstance(item, OneDNNLinear)] == [library]
    assert own.packed is None
    with torch.no_grad():
        normed, weight = norm(x).double(), own.weight.double()
        shift = own.bias.double() if bias else None
        expected = F.linear(normed, weight, shift)
        torch.testing.assert_close(twin(x).double(), expected, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(PackedLinear(own.weight)(x), F.linear(x, own.weight), atol=1e-5, rtol=1e-5)
    twin(x).sum().backward()
    assert own.weight.grad is not None


def test_a_large_model_is_not_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: True)
    _take_every_width(monkeypatch)
    monkeypatch.setattr("networks.kernels.linear.MAX_PACKED_BYTES", 2 * 12 * 20 * 4 - 1)
    module = nn.Sequential(OneDNNLinear(12, 20, bias=False), OneDNNLinear(20, 12, bias=False))
    assert all(
        item.packed is None for item in copy_with_packed_weights(module).modules() if isinstance(item, OneDNNLinear)
    )
    assert copy_with_packed_weights(module[0]).packed is not None


@pytest.mark.parametrize("limit", [128, 32])
@pytest.mark.parametrize(("less", "expected"), [(1, False), (0, True)])
def test_narrow_maps_are_left_to_torch(limit: int, less: int, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: True)
    monkeypatch.setattr("networks.kernels.linear.has_avx512", lambda: limit == 32)
    for shape in ((limit - less, 300), (300, limit - less)):
        weight = torch.randn(*shape, requires_grad=True)
        assert ("_LinearFunction" in str(linear(torch.randn(2, shape[1]), weight).grad_fn)) is expected
        assert (PackedLinear(weight).packed is not None) is (expected and limit == 128)


def test_rows_are_rounded_up_by_an_eighth_at_most_and_to_few_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = range(5000)
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: False)
    assert [round_up_rows(number) for number in numbers] == list(numbers)
    monkeypatch.setattr("networks.kernels.linear.prefers_onednn", lambda: True)
    found = [round_up_rows(number) for number in numbers]
    assert all(number <= more <= number * 9 / 8 for number, more in zip(numbers, found, strict=True))
    assert len({more for more in found if 1024 < more <= 2048}) == 8


@pytest.mark.parametrize(("maker", "expected"), [("AuthenticAMD", True), ("GenuineIntel", False), ("aarch64", False)])
def test_the_processors_maker_decides_which_library_multiplies(
    maker: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("networks.kernels.cpu.cpu_name", lambda line: maker if line == "vendor_id" else "")
    for library in ("mkl", "mkldnn"):
        monkeypatch.setattr(f"torch.backends.{library}.is_available", lambda: True)
    assert prefers_onednn.__wrapped__() is expected
    for library in ("mkl", "mkldnn"):
        with monkeypatch.context() as without:
            without.setattr(f"torch.backends.{library}.is_available", lambda: False)
            assert prefers_onednn.__wrapped__() is False


def test_a_processor_has_a_name_even_without_the_line_that_is_asked_for() -> None:
    assert cpu_name()
    assert cpu_name("no such line")
