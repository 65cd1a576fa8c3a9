"""Muon against torch's own on single maps, its iteration against a singular value decomposition, and its state."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.muon import COEFFICIENTS, Muon, orthogonalize, orthogonalize_all
from lightning_modules.optim import FourMOptimConfig, OptimizerName
from lightning_modules.optimizers import build_optimizer, count_maps, unmatched_patterns
from modalities.errors import ConfigError
from networks.kernels.linear import OneDNNLinear
from networks.layers.blocks import Block, BlockConfig


class Net(nn.Module):
    """Two blocks and a head, named as the model's are."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(Block(BlockConfig(width=8, heads=2)) for _ in range(2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.encoder:
            x = block(x)
        out: torch.Tensor = self.head(x)
        return out


def train(net: Net, optimizer: torch.optim.Optimizer, steps: int, *, first: int = 0) -> None:
    for number in range(first, first + steps):
        x = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()


def test_singular_vectors_stay_and_singular_values_follow_the_polynomial() -> None:
    matrices = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = orthogonalize(matrices, 5)
    for matrix, result in zip(matrices.numpy(), found.numpy(), strict=True):
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        values = values / np.linalg.norm(matrix)
        for _ in range(5):
            a, b, c = COEFFICIENTS
            values = a * values + b * values**3 + c * values**5
        np.testing.assert_allclose(result, left * values @ right, atol=1e-10)
        assert ((values > 0.5) & (values < 1.3)).all()


def test_matrices_of_one_shape_or_its_transpose_give_what_each_gives_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = ((3, 5), (5, 3), (4, 4), (3, 5))
    matrices = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    for matrix, result in zip(matrices, orthogonalize_all(matrices, 5), strict=True):
        wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
        alone = orthogonalize(wide[None], 5)[0]
        torch.testing.assert_close(result, alone.T if wide is not matrix else alone)


def test_a_map_is_updated_as_by_torchs_muon() -> None:
    net = nn.ModuleDict({"encoder": nn.ModuleList([nn.Linear(6, 4, bias=False)])})
    reference = copy.deepcopy(net)
    config = FourMOptimConfig(name=OptimizerName.muon, lr=0.02, weight_decay=0.1)
    ours = build_optimizer(net.named_parameters(), config)
    theirs = torch.optim.Muon(
        reference.parameters(), lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    assert isinstance(ours, Muon)
    start = next(reference.parameters()).detach().clone()
    for number in range(3):
        gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(number))
        for module, optimizer in ((net, ours), (reference, theirs)):
            next(module.parameters()).grad = gradient.clone()
            optimizer.step()
    found, expected = next(net.parameters()).detach(), next(reference.parameters()).detach()
    # torch's iterates in bfloat16, of 8 bits.
    assert (found - expected).abs().max() < 0.03 * (expected - start).abs().max()


def test_queries_keys_and_values_are_maps_of_their_own() -> None:
    torch.manual_seed(0)
    fused, alone = OneDNNLinear(6, 12, bias=False, num_maps=2), [nn.Linear(6, 6, bias=False) for _ in range(2)]
    for part, module in zip(fused.weight.detach().chunk(2), alone, strict=True):
        module.weight.data.copy_(part)
    config = FourMOptimConfig(name=OptimizerName.muon, lr=0.02, muon_weights="weight")
    whole = nn.ModuleDict({"fused": fused})
    optimizer = build_optimizer(whole.named_parameters(), config, count_maps(whole))
    singles = build_optimizer(nn.ModuleList(alone).named_parameters(), config)
    gradient = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
    fused.weight.grad = gradient.clone()
    for part, module in zip(gradient.chunk(2), alone, strict=True):
        module.weight.grad = part.clone()
    optimizer.step()
    singles.step()
    torch.testing.assert_close(fused.weight, torch.cat([module.weight for module in alone]))


def test_all_other_weights_are_updated_by_adamw() -> None:
    torch.manual_seed(0)
    net = Net()
    reference = copy.deepcopy(net)
    config = FourMOptimConfig(name=OptimizerName.muon, lr=0.01)
    optimizer = build_optimizer(net.named_parameters(), config, count_maps(net))
    adamw = build_optimizer(reference.named_parameters(), FourMOptimConfig(lr=0.01))
    train(net, optimizer, 1)
    train(reference, adamw, 1)
    for (name, found), other in zip(net.named_parameters(), reference.parameters(), strict=True):
        by_muon = name.startswith("encoder.") and found.ndim == 2
        assert torch.equal(found, other) != by_muon, name


def test_training_resumes_from_its_state_to_the_bit() -> None:
    torch.manual_seed(0)
    net = Net()
    config = FourMOptimConfig(name=OptimizerName.muon, lr=0.01)
    optimizer = build_optimizer(net.named_parameters(), config, count_maps(net))
    train(net, optimizer, 3)
    other = copy.deepcopy(net)
    resumed = build_optimizer(other.named_parameters(), config, count_maps(other))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(net, optimizer, 3, first=3)
    train(other, resumed, 3, first=3)
    for found, expected in zip(other.parameters(), net.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_scaled_loss_gives_the_same_step_and_an_overflow_none() -> None:
    """As in 16-bit training, where gradients are scaled; the fused AdamW unscales its own groups by itself."""
    torch.manual_seed(0)
    net = Net()
    plain = copy.deepcopy(net)
    config = FourMOptimConfig(name=OptimizerName.muon, lr=0.01)
    optimizer = build_optimizer(net.named_parameters(), config, count_maps(net))
    train(plain, build_optimizer(plain.named_parameters(), config, count_maps(plain)), 1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    x = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
    scaler.scale(net(x).square().mean()).backward()
    scaler.step(optimizer)
    scaler.update()
    for found, expected in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
    before = [weight.detach().clone() for weight in net.parameters()]
    optimizer.zero_grad()
    scaler.scale(net(x).square().mean() * torch.inf).backward()
    scaler.step(optimizer)
    for found, kept in zip(net.parameters(), before, strict=True):
        assert torch.equal(found, kept)


def test_settings_of_muon_that_cannot_be_or_do_nothing_are_named() -> None:
    for setting, message in (
        ({"muon_momentum": 1.0}, r"optim.muon_momentum must lie in 0..1, 1 excluded, got 1.0"),
        ({"muon_iterations": 0}, r"optim.muon_iterations must be at least 1, got 0"),
        ({"muon_weights": "("}, r"optim.muon_weights '\(' is no regular expression"),
    ):
        with pytest.raises(ConfigError, match=message):
            FourMOptimConfig(**setting)
    assert set(FourMOptimConfig().unused_settings()) == {"muon_weights", "muon_momentum", "muon_iterations"}
    assert FourMOptimConfig(name=OptimizerName.muon).unused_settings() == {}
    assert unmatched_patterns(["head"], FourMOptimConfig(name=OptimizerName.muon, muon_weights="tail")) == [
        "optim.muon_weights 'tail'"
    ]
