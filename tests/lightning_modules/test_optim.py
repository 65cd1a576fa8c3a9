"""The learning rate by hand, decay on matrices alone, and settings that cannot be."""

import pytest
import torch
from torch import nn

from lightning_modules.optim import FourMOptimConfig, ParamGroup
from lightning_modules.optimizers import build_optimizer, set_learning_rates, unmatched_patterns
from modalities.errors import ConfigError


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (0, 0.0),
        (25, 0.25),
        (99, 0.99),
        (100, 1.0),
        (200, 0.2 + 0.8 * 0.75),  # A third of the way down, where the cosine is 1/2.
        (250, 0.2 + 0.8 * 0.5),
        (300, 0.2 + 0.8 * 0.25),
        (400, 0.2),
        (4000, 0.2),
    ],
)
def test_the_rate_rises_in_a_line_and_falls_in_a_cosine(tokens: float, expected: float) -> None:
    config = FourMOptimConfig(lr=1.0, min_lr=0.2, warmup_tokens=100, total_tokens=400)
    assert config.lr_factor(tokens) == pytest.approx(expected, abs=1e-12)


def test_a_schedule_without_warm_up_starts_at_its_peak() -> None:
    assert FourMOptimConfig(lr=0.5, warmup_tokens=0, total_tokens=10).lr_factor(0) == 1


def test_a_schedule_that_is_all_warm_up_ends_at_its_peak() -> None:
    config = FourMOptimConfig(lr=0.5, warmup_tokens=10, total_tokens=10)
    assert config.lr_factor(5) == 0.5
    assert config.lr_factor(10) == 1


def test_a_step_without_gradient_shrinks_matrices_and_leaves_vectors() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
    model.register_parameter("frozen", frozen)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = build_optimizer(model.named_parameters(), FourMOptimConfig(lr=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = dict(model.named_parameters())
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * (1 - 0.1 * 0.5))
    for name in ("0.bias", "1.weight", "1.bias", "frozen"):
        assert torch.equal(after[name], before[name]), name


def test_a_first_step_is_adams_with_the_configs_betas_and_epsilon() -> None:
    weight = nn.Linear(2, 1, bias=False)
    start, gradients = weight.weight.detach().clone(), (torch.tensor([[3.0, -4.0]]), torch.tensor([[1.0, 2.0]]))
    optimizer = build_optimizer(
        weight.named_parameters(), FourMOptimConfig(lr=0.01, weight_decay=0.0, betas=(0.8, 0.6), eps=0.5)
    )
    mean = square = torch.zeros(1, 2)
    for number, gradient in enumerate(gradients, 1):
        weight.weight.grad = gradient.clone()
        optimizer.step()
        # Kingma and Ba 2015, algorithm 1.
        mean, square = 0.8 * mean + 0.2 * gradient, 0.6 * square + 0.4 * gradient**2
        start = start - 0.01 * (mean / (1 - 0.8**number)) / ((square / (1 - 0.6**number)).sqrt() + 0.5)
    torch.testing.assert_close(weight.weight.detach(), start)


def test_groups_take_weights_in_their_order_and_the_schedule_is_a_factor_on_each_ones_own_rate() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(2, 3), "heads": nn.Linear(3, 4)})
    groups = [ParamGroup(pattern="heads", lr=0.1), ParamGroup(pattern=r"heads|r\.weight$", weight_decay=0.3)]
    config = FourMOptimConfig(lr=0.01, weight_decay=0.5, groups=groups, warmup_tokens=10, total_tokens=20)
    optimizer = build_optimizer(model.named_parameters(), config)
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = [
        ([names[id(weight)] for weight in group["params"]], group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
    ]
    assert found == [
        (["heads.weight"], 0.1, 0.5),
        (["heads.bias"], 0.1, 0.0),
        (["encoder.weight"], 0.01, 0.3),
        (["encoder.bias"], 0.01, 0.0),
    ]
    set_learning_rates(optimizer, config.lr_factor(5))
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05, 0.005, 0.005]


def test_patterns_that_match_nothing_are_named() -> None:
    config = FourMOptimConfig(groups=[ParamGroup(pattern="heads"), ParamGroup(pattern="haeds")])
    assert unmatched_patterns(["model.heads.weight"], config) == ["optim.groups[1].pattern 'haeds'"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "optim.lr must be positive, got 0.0."),
        ({"lr": -1.0}, "optim.lr must be positive, got -1.0."),
        ({"warmup_tokens": 20.0, "total_tokens": 10.0}, "optim.warmup_tokens must lie in 0..10, got 20."),
        ({"warmup_tokens": -1.0, "total_tokens": 10.0}, "optim.warmup_tokens must lie in 0..10, got -1."),
        ({"min_lr": 1.0}, "optim.min_lr must lie in 0..0.0032, got 1.0."),
        ({"groups": [ParamGroup(lr=0.0)]}, "optim.groups[0].lr must be positive, got 0.0."),
        (
            {"groups": [ParamGroup(), ParamGroup(pattern="(")]},
            "optim.groups[1].pattern '(' is no regular expression: missing ), unterminated subpattern at position 0.",
        ),
        ({"ema_decay": 1.0}, "optim.ema_decay must lie in 0..1, 1 excluded, got 1.0."),
    ],
)
def test_a_setting_that_cannot_be(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FourMOptimConfig(**changes)  # type: ignore[arg-type]
    assert str(caught.value) == message
