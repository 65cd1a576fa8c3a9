"""The memory that an ablation's processes hold together."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

HELD = """
import os, sys, time
from experiments.manifest import MemoryWatch

held = bytearray(os.urandom(1)) * (200 << 20)
with MemoryWatch(every=0.05) as watch:
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
        cwd=Path(__file__).parents[2],
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
