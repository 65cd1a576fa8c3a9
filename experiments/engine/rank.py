"""One process of a stage that trains on several devices: ``python -m experiments.engine.rank TASK``.

Lightning starts the other processes of its machine by the same command; torchrun and srun start all of them. The first
process writes the stage's folder, and reports progress and outcome on its standard output, one JSON list a line.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from experiments.engine.execution import describe_failure, run_other_rank, run_stage
from experiments.engine.task import ForwardHandler, read_task
from experiments.stages.context import user_log


def main(task_file: Path) -> int:
    """Run this process's part of the task; answers with the exit status."""
    task = read_task(task_file)
    is_first = getattr(rank_zero_only, "rank", 0) == 0
    if is_first:
        user_log.addHandler(ForwardHandler(lambda text: _send_message("user_log", text)))
    try:
        if is_first:
            run_stage(replace(task, report_progress=lambda *progress: _send_message("progress", progress)))
        else:
            run_other_rank(task)
    except Exception as error:
        if is_first:
            _send_message(*describe_failure(task, error))
        return 1
    if is_first:
        _send_message("done", "")
    return 0


def _send_message(kind: str, content: Any) -> None:
    sys.stdout.write(json.dumps([kind, content]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
