"""Runs an order where it belongs: in this process, or in processes of its own where it trains on several devices."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.execution import execute
from experiments.order import NEWS, Order, Report, StageError, log_file, write_order
from modalities.errors import UserError
from modalities.spec import Modality

PATIENCE = 10.0
"""Seconds that processes get to put things away before they are killed."""


def run_order(order: Order, report: Report, modalities: Mapping[str, Modality]) -> None:
    """Run an order to its end.

    Raises:
        UserError: What was asked for cannot be done; StageError where it failed otherwise.
    """
    if order.devices == 1:
        execute(order, report, modalities)
    else:
        _run_apart(order, report)


def _run_apart(order: Order, report: Report) -> None:
    """Lightning starts the processes of the other devices by the command of the first, which needs its own."""
    path = order.folder.parent.parent / "orders" / f"{order.folder.name}.json"
    write_order(path, order)
    process = _start(path)
    ended: tuple[str, Any] | None = None
    try:
        assert process.stdout is not None
        for line in process.stdout:
            kind, content = _said(line)
            if kind == "progress":
                report(*content)
            elif kind == "news":
                NEWS.warning("%s", content)
            elif kind:
                ended = (kind, content)
        status = process.wait()
    finally:
        _end(process)
    match ended:
        case ("done", _) if status == 0:
            return
        case ("mistake", content):
            raise UserError(content)
        case ("failed", content):
            raise StageError(f"{content} The whole story is in {log_file(order.folder)}.")
        case _:
            raise StageError(f"The processes of {order.devices} devices ended with exit status {status}.")


def _start(order_file: Path) -> subprocess.Popen[str]:
    # Plug-ins and this package are found by the same paths as here.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # Torch warns when every weight of a batch had its gradient, which is the good case.
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.rank", str(order_file)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _said(line: str) -> tuple[str, Any]:
    """What a line of the first process says; nothing, where it is somebody else's."""
    try:
        kind, content = json.loads(line)
    except ValueError:
        return "", ""
    return kind, content


def _end(process: subprocess.Popen[str]) -> None:
    """Make sure that none of the processes is left, whatever ended this one."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()
