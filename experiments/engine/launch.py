"""Runs a stage in this process, or in processes of its own if it trains on several devices."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.engine.execution import run_item, run_stage
from experiments.engine.task import StageError, failure_log_path, num_devices, write_task
from experiments.processes import child_environment
from experiments.stages.context import StageContext, ignore_progress, user_log
from modalities.errors import UserError

SHUTDOWN_TIMEOUT = 10.0
"""Seconds that processes get to put things away before they are killed."""


def run_task(task: StageContext) -> None:
    """Run a stage, or one of its work items, to its end.

    Raises:
        UserError: The settings cannot be carried out.
        StageError: The stage failed otherwise.
    """
    if task.item is not None:
        run_item(task)
    elif num_devices(task) == 1:
        run_stage(task)
    else:
        _run_multi_device(task)


def _run_multi_device(task: StageContext) -> None:
    """Start the first process; Lightning starts those of the other devices by the same command."""
    path = task.folder.parent.parent / "tasks" / f"{task.folder.name}.pickle"
    write_task(path, replace(task, report_progress=ignore_progress))
    process = _start_processes(path)
    outcome: tuple[str, Any] | None = None
    try:
        assert process.stdout is not None
        for line in process.stdout:
            kind, content = _parse_message(line)
            if kind == "progress":
                task.report_progress(*content)
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
            raise StageError(f"The processes of {num_devices(task)} devices ended with exit status {status}.")


def _start_processes(task_file: Path) -> subprocess.Popen[str]:
    environment = child_environment()
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
    """Kind and content of a line of the first process; empty for a line that some library printed."""
    try:
        kind, content = json.loads(line)
    except ValueError:
        return "", ""
    return kind, content


def _stop_processes(process: subprocess.Popen[str]) -> None:
    """End all processes of the group that are left."""
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
