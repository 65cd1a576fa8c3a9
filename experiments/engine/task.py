"""A task: a stage with all that a process needs to run it, be it another one than wrote it."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.schema.experiment import ExperimentConfig
from experiments.stages.plan import Stage
from modalities.errors import UserError
from modalities.storage.serialization import from_plain, to_plain

ProgressCallback = Callable[[float, float, str], None]
"""Takes the share done, the rate per second, and the rate's unit."""


user_log = logging.getLogger("fourm.user")
"""Events that a person at the terminal should hear of, in whichever process they happen."""


class ForwardHandler(logging.Handler):
    """Passes events on to the process that started this one."""

    def __init__(self, send: Callable[[str], None]) -> None:
        """Take who passes on a line."""
        super().__init__()
        self._forward = send

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        self._forward(record.getMessage())


class StageError(UserError):
    """A stage failed for a reason that is no mistake of the user's."""


@dataclass(frozen=True, kw_only=True)
class StageTask:
    """A stage with all that a worker needs to run it."""

    config: ExperimentConfig
    stage: Stage
    inputs: dict[str, Path]
    folder: Path
    tracking: tuple[str, str] | None = None

    @property
    def devices(self) -> int:
        """Devices that the stage trains on, each with a process of its own."""
        match self.stage.kind:
            case "model":
                return self.config.executor.devices
            case "tokenizer":
                return self.config.tokenizer_training.devices
            case _:
                return 1


def write_task(path: Path, task: StageTask) -> None:
    """Write a task as JSON."""
    stage = task.stage
    content = {
        "config": to_plain(task.config),
        "stage": {"kind": stage.kind, "name": stage.name, "run_args": to_plain(stage.run_args)},
        "inputs": {name: str(folder) for name, folder in task.inputs.items()},
        "folder": str(task.folder),
        "tracking": task.tracking,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def read_task(path: Path) -> StageTask:
    """The task that `write_task` wrote; its stage's params, which decide nothing any more, are left out."""
    content = json.loads(path.read_text())
    return StageTask(
        config=from_plain(ExperimentConfig, content["config"]),
        stage=Stage(params={}, **content["stage"]),
        inputs={name: Path(folder) for name, folder in content["inputs"].items()},
        folder=Path(content["folder"]),
        tracking=tuple(content["tracking"]) if content["tracking"] else None,
    )


def failure_log_path(folder: Path) -> Path:
    """Where the whole story of a failed stage is kept; its own folder is gone."""
    return folder.parent.parent / "logs" / f"{folder.name}.txt"
