"""What a run ran on: versions, commit, hardware, memory."""

import os
import platform
import subprocess
import threading
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

import psutil

from networks.devices import processor

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


def manifest() -> dict[str, str]:
    """Commit, versions and hardware, in words."""
    facts = {"python": platform.python_version(), "platform": platform.platform(), "processor": processor()}
    facts["cores"] = str(os.cpu_count())
    facts["memory"] = f"{psutil.virtual_memory().total / 2**30:.1f} GiB"
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _git("rev-parse", "HEAD")
    if commit:
        facts["commit"] = commit + (" with uncommitted changes" if _git("status", "--porcelain") else "")
    return facts


def git_diff() -> str:
    """What is not committed, or nothing where there is no repository."""
    return _git("diff", "HEAD")


class MemoryWatch:
    """Measures the most memory that this process and its children hold together."""

    def __init__(self, every: float = 0.5) -> None:
        self.peak = 0
        """In bytes. On Linux what is shared is counted once; elsewhere once per process that maps it."""
        self._every, self._stop = every, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.is_set():
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss if psutil.LINUX else process.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)
            self._stop.wait(self._every)


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
