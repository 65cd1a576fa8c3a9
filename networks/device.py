"""The device of a network."""

import torch
from torch import nn


def module_device(module: nn.Module) -> torch.device:
    """Device of a network's weights; the CPU if it has none."""
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
