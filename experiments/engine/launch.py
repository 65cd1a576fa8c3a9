"""Runs a task where it belongs: in this process, or in processes of its own where it trains on several devices."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.engine.execution import run_stage
from experiments.engine.task import ProgressCallback, StageError, StageTask, failure_log_path, user_log, write_task
from modalities.errors import UserError
from modalities.spec import Modality

SHUTDOWN_TIMEOUT = 10.0
"""Seconds that processes get to put things away before they are killed."""


def run_task(task: StageTask, report_progress: ProgressCallback, modalities: Mapping[str, Modality]) -> None:
    """Run a task to its end.

    Raises:
        UserError: What was asked for cannot be done; StageError where it failed otherwise.
    """
    if task.devices == 1:
        run_stage(task, report_progress, modalities)
    else:
        _run_multi_device(task, report_progress)


def _run_multi_device(task: StageTask, report_progress: ProgressCallback) -> None:
    """Lightning starts the processes of the other devices by the command of the first, which needs its own."""
    path = task.folder.parent.parent / "tasks" / f"{task.folder.name}.json"
    write_task(path, task)
    process = _start_processes(path)
    outcome: tuple[str, Any] | None = None
    try:
        assert process.stdout is not None
        for line in process.stdout:
            kind, content = _parse_message(line)
            if kind == "progress":
                report_progress(*content)
            elif kind == "user_log":
                user_log.warning("%s", content)
            elif kind:
                outcome = (kind, content)
        status = process.wait()
    finally:
        _stop_processes(process)
    match outcome:
        case ("done", _) if status == 0:
            return
        case ("user_error", content):
            raise UserError(content)
        case ("failed", content):
            raise StageError(f"{content} Its traceback is in {failure_log_path(task.folder)}.")
        case _:
            raise StageError(f"The processes of {task.devices} devices ended with exit status {status}.")


def _start_processes(task_file: Path) -> subprocess.Popen[str]:
    # Plug-ins and this package are found by the same paths as here.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # Torch warns when every weight of a batch had its gradient, which is the good case.
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.engine.rank", str(task_file)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _parse_message(line: str) -> tuple[str, Any]:
    """What a line of the first process says; nothing, where it is somebody else's."""
    try:
        kind, content = json.loads(line)
    except ValueError:
        return "", ""
    return kind, content


def _stop_processes(process: subprocess.Popen[str]) -> None:
    """Make sure that none of the processes is left, whatever ended this one."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signum)
        except ProcessLookupError:
            break
        try:
            process.wait(SHUTDOWN_TIMEOUT)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()
