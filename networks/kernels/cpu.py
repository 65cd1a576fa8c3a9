"""Where networks lie, and what is known of processors."""

import platform
from functools import cache
from pathlib import Path

import torch
from torch import nn


def module_device(module: nn.Module) -> torch.device:
    """Where a network's weights lie; the CPU where it has none."""
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


@cache
def prefers_onednn() -> bool:
    """True where torch multiplies by Intel's MKL on a processor of AMD's, and has oneDNN too.

    It is asked by name, not by timing: the form of a product decides its last bits, and those must not change from one
    run to the next.
    """
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and "AuthenticAMD" in cpu_name("vendor_id")
    )


@cache
def has_avx512() -> bool:
    """True where torch may use vectors of 512 bits, of which MKL uses half on a processor of AMD's."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def cpu_name(line: str = "model name") -> str:
    """What the system says of its first processor: a line of Linux's, or what Python knows where there is none."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as cpuinfo:
            name = next((item.partition(":")[2].strip() for item in cpuinfo if item.startswith(line)), "")
    except OSError:
        name = ""
    return name or platform.processor() or platform.machine()
