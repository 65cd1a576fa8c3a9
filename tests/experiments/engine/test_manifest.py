"""What a run ran on: the commit of its code, and the memory that its processes hold together."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from experiments.engine.manifest import git_commit, git_diff

HELD = """
import os, sys, time
from experiments.engine.manifest import PeakMemoryMonitor

held = bytearray(os.urandom(1)) * (200 << 20)
with PeakMemoryMonitor(interval=0.05) as watch:
    children = [os.fork() for _ in range(int(sys.argv[1]))]
    if 0 in children:
        time.sleep(30)
        os._exit(0)
    time.sleep(1)
for child in children:
    os.kill(child, 9)
print(watch.peak)
"""


def peak(children: int) -> int:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HELD, str(children)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux tells what processes share")
def test_what_processes_share_is_counted_once() -> None:
    alone, together = peak(0), peak(1)
    assert alone > 200 << 20
    assert together - alone < 100 << 20


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_that_of_the_code_wherever_it_is_run_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, elsewhere = tmp_path / "code", tmp_path / "elsewhere"
    for folder in (code, elsewhere):
        (folder / "experiments" / "engine").mkdir(parents=True)
        git(folder, "init", "-q")
    file = code / "experiments" / "engine" / "manifest.py"
    file.write_text("a = 1\n")
    (elsewhere / "other.py").write_text("b = 1\n")
    for folder in (code, elsewhere):
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "first")
    monkeypatch.chdir(elsewhere)
    assert git_commit(code) == git(code, "rev-parse", "HEAD")
    assert git_diff(code) == ""
    file.write_text("a = 2\n")
    assert git_commit(code) == git(code, "rev-parse", "HEAD") + " with uncommitted changes"
    assert "+a = 2" in git_diff(code)
    # A repository that does not hold this package says nothing about it.
    assert git_commit(elsewhere) == ""
    (elsewhere / "other.py").write_text("b = 2\n")
    assert git_diff(elsewhere) == ""
