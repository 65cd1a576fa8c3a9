"""One process of a stage that trains on several devices: ``python -m experiments.rank TASK.json``.

Lightning starts the other processes of its machine by the same command; torchrun and srun start all of them. The first
process makes the stage's folder and tells on its standard output, one JSON list a line, how far it is and how it ended.
"""

import json
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from experiments.engine.execution import describe_failure, run_other_rank, run_stage
from experiments.engine.task import ForwardHandler, read_task, user_log
from experiments.schema.load import build_modalities
from modalities.registry import default_registry


def main(task_file: Path) -> int:
    """Run this process's part of the task; answers with the exit status."""
    task = read_task(task_file)
    is_first = getattr(rank_zero_only, "rank", 0) == 0
    if is_first:
        user_log.addHandler(ForwardHandler(lambda text: _send_message("user_log", text)))
    try:
        modalities = build_modalities(task.config, default_registry())
        if is_first:
            run_stage(task, lambda *progress: _send_message("progress", progress), modalities)
        else:
            run_other_rank(task, modalities)
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
