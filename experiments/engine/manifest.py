"""The manifest of a run: versions, commit, hardware, memory."""

import os
import platform
import shutil
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

import psutil

from experiments.processes import CODE_ROOT
from networks.kernels.cpu import cpu_name

PACKAGES = (
    "fourm-lab",
    "torch",
    "lightning",
    "torchmetrics",
    "vector-quantize-pytorch",
    "mlflow",
    "numpy",
    "omegaconf",
)


def run_manifest() -> dict[str, str]:
    """Commit, versions and hardware, in words."""
    entries = {"python": platform.python_version(), "platform": platform.platform(), "processor": cpu_name()}
    entries["cores"] = str(os.cpu_count())
    entries["memory"] = f"{psutil.virtual_memory().total / 2**30:.1f} GiB"
    for name in PACKAGES:
        try:
            entries[name] = version(name)
        except PackageNotFoundError:
            continue
    if devices := gpu_names():
        entries["gpu"] = devices
    if commit_hash := git_commit():
        entries["commit"] = commit_hash
    return entries


def git_commit(root: Path = CODE_ROOT) -> str:
    """The commit that the code below ``root`` is of, and whether it was changed since; empty outside a repository.

    A repository that an installed package merely lies in, as an environment's, is not the code's own.
    """
    if not _git(root, "ls-files", "--", Path(__file__).resolve().relative_to(CODE_ROOT).as_posix()):
        return ""
    return _git(root, "rev-parse", "HEAD") + (
        " with uncommitted changes" if _git(root, "status", "--porcelain") else ""
    )


def git_diff(root: Path = CODE_ROOT) -> str:
    """The uncommitted changes of the code below ``root``; empty outside a repository."""
    return _git(root, "diff", "HEAD") if git_commit(root) else ""


def gpu_names() -> str:
    """The names of this machine's GPUs, as torch sees them; empty where there is none."""
    # Torch takes seconds to import, and where there is no driver there is nothing to ask it.
    if not shutil.which("nvidia-smi") and "torch" not in sys.modules:
        return ""
    import torch

    return ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))


class PeakMemoryMonitor:
    """Measures the most memory that this process and its children hold together."""

    def __init__(self, interval: float = 0.5) -> None:
        self.peak = 0
        """In bytes. On Linux what is shared is counted once; elsewhere once per process that maps it."""
        self._interval, self._stop = interval, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemoryMonitor":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        this_process = psutil.Process()
        while not self._stop.is_set():
            total = 0
            for process in (this_process, *this_process.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss if psutil.LINUX else process.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)
            self._stop.wait(self._interval)


def _git(root: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
