"""Parameter groups of a network, and the optimizer that an `OptimConfig` names."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, assert_never, cast

import torch
from torch import nn
from torch.optim import Optimizer

from lightning_modules.muon import Muon
from lightning_modules.optim import OptimConfig, OptimizerName, ParamGroup
from networks.kernels.linear import OneDNNLinear


def parameter_groups(named_weights: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> list[dict[str, Any]]:
    """Sort trainable weights into torch's parameter groups, each with its own peak rate and weight decay.

    Each of ``config.groups``, then the rest, gives one group of matrices and one of vectors, which do not decay; with
    Muon, its matrices come first, in a group of their own with ``use_muon``. The peak rate is kept as ``initial_lr``,
    as torch's schedulers do.
    """
    weights = [(name, weight) for name, weight in named_weights if weight.requires_grad]
    made: list[dict[str, Any]] = []
    for group in [*config.groups, ParamGroup()]:
        own = [(name, weight) for name, weight in weights if re.search(group.pattern, name)]
        weights = [(name, weight) for name, weight in weights if not re.search(group.pattern, name)]
        lr = config.lr if group.lr is None else group.lr
        decay = config.weight_decay if group.weight_decay is None else group.weight_decay
        muon = [weight for name, weight in own if _is_muon_weight(name, weight, config)]
        matrices = [weight for name, weight in own if weight.ndim > 1 and not _is_muon_weight(name, weight, config)]
        vectors = [weight for _, weight in own if weight.ndim <= 1]
        kinds: tuple[tuple[list[nn.Parameter], dict[str, Any]], ...] = (
            (muon, {"weight_decay": decay, "use_muon": True}),
            (matrices, {"weight_decay": decay}),
            (vectors, {"weight_decay": 0.0}),
        )
        made += [{"params": params, "lr": lr, "initial_lr": lr, **settings} for params, settings in kinds if params]
    return made


def _is_muon_weight(name: str, weight: nn.Parameter, config: OptimConfig) -> bool:
    return config.name is OptimizerName.muon and weight.ndim == 2 and bool(re.search(config.muon_weights, name))


def unmatched_patterns(names: Iterable[str], config: OptimConfig) -> list[str]:
    """The settings of ``config`` whose patterns occur in none of the ``names``, as ``setting 'pattern'``."""
    known = list(names)
    patterns = {f"groups[{number}].pattern": group.pattern for number, group in enumerate(config.groups)}
    if config.name is OptimizerName.muon:
        patterns["muon_weights"] = config.muon_weights
    return [
        f"{config.section}.{setting} {pattern!r}"
        for setting, pattern in patterns.items()
        if not any(re.search(pattern, name) for name in known)
    ]


def build_optimizer(
    named_weights: Iterable[tuple[str, nn.Parameter]],
    config: OptimConfig,
    num_maps: Mapping[nn.Parameter, int] = MappingProxyType({}),
) -> Optimizer:
    """The optimizer of a network's trainable weights.

    Args:
        num_maps: Maps along the rows of a weight, where it holds several (see `count_maps`).
    """
    groups = parameter_groups(named_weights, config)
    betas = (config.betas[0], config.betas[1])
    options: dict[str, Any] = {"lr": config.lr, "betas": betas, "eps": config.eps, "fused": config.fused or None}
    match config.name:
        case OptimizerName.adamw:
            return torch.optim.AdamW(groups, **options)
        case OptimizerName.muon:
            momentum, iterations = config.muon_momentum, config.muon_iterations
            return Muon(groups, num_maps=num_maps, momentum=momentum, iterations=iterations, **options)
        case _:
            assert_never(config.name)


def count_maps(network: nn.Module) -> dict[nn.Parameter, int]:
    """The weights that hold several maps side by side, such as queries, keys and values, and how many."""
    linear = (item for item in network.modules() if isinstance(item, OneDNNLinear) and item.num_maps > 1)
    return {cast(nn.Parameter, item.weight): item.num_maps for item in linear}


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to ``factor`` times its own peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
