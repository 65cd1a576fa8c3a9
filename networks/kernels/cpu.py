"""Facts about the processor, by which kernels are chosen."""

import platform
from functools import cache
from pathlib import Path

import torch


@cache
def prefers_onednn() -> bool:
    """True on AMD processors if torch multiplies with MKL and has oneDNN too.

    The vendor decides, not a timing: the library decides a product's last bits, and those must not change from run to
    run.
    """
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and "AuthenticAMD" in cpu_name("vendor_id")
    )


@cache
def has_avx512() -> bool:
    """True if torch may use 512-bit vectors; MKL uses half of their width on AMD processors."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def cpu_name(field: str = "model name") -> str:
    """A field of the first processor in /proc/cpuinfo, else what Python's `platform` says."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as cpuinfo:
            name = next((item.partition(":")[2].strip() for item in cpuinfo if item.startswith(field)), "")
    except OSError:
        name = ""
    return name or platform.processor() or platform.machine()
