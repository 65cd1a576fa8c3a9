"""Where networks lie."""

import torch
from torch import nn


def device_of(module: nn.Module) -> torch.device:
    """Where a network's weights lie; the CPU where it has none."""
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
