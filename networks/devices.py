"""Where networks lie, and what is known of processors."""

import platform
from functools import cache
from pathlib import Path

import torch
from torch import nn


def device_of(module: nn.Module) -> torch.device:
    """Where a network's weights lie; the CPU where it has none."""
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


@cache
def is_mkl_on_amd() -> bool:
    """True where torch multiplies by Intel's MKL on a processor of AMD's.

    It is asked by name, not by timing: the form of a product decides its last bits, and those must not change from one
    run to the next.
    """
    return torch.backends.mkl.is_available() and "AuthenticAMD" in processor()


def processor() -> str:
    """What the system says of its first processor."""
    told = Path("/proc/cpuinfo")
    return told.read_text(errors="replace").split("\n\n")[0] if told.exists() else platform.processor()
