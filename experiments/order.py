"""An order: a stage with all that a process needs to run it, be it another one than wrote it."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.config import ExperimentConfig
from experiments.stages import Stage
from lightning_modules.records import from_plain, to_plain
from modalities.errors import UserError

Report = Callable[[float, float, str], None]
"""Takes the share done, the rate per second, and the rate's unit."""


NEWS = logging.getLogger("fourm.news")
"""Events that a person at the terminal should hear of, in whichever process they happen."""


class Forward(logging.Handler):
    """Passes events on to the process that started this one."""

    def __init__(self, send: Callable[[str], None]) -> None:
        """Take who passes on a line."""
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        self._send(record.getMessage())


class StageError(UserError):
    """A stage failed for a reason that is no mistake of the user's."""


@dataclass(frozen=True, kw_only=True)
class Order:
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


def write_order(path: Path, order: Order) -> None:
    """Write an order as JSON."""
    stage = order.stage
    told = {
        "config": to_plain(order.config),
        "stage": {"kind": stage.kind, "name": stage.name, "details": to_plain(stage.details)},
        "inputs": {name: str(folder) for name, folder in order.inputs.items()},
        "folder": str(order.folder),
        "tracking": order.tracking,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def read_order(path: Path) -> Order:
    """The order that `write_order` wrote; its stage's facts, which decide nothing any more, are left out."""
    told = json.loads(path.read_text())
    return Order(
        config=from_plain(ExperimentConfig, told["config"]),
        stage=Stage(facts={}, **told["stage"]),
        inputs={name: Path(folder) for name, folder in told["inputs"].items()},
        folder=Path(told["folder"]),
        tracking=tuple(told["tracking"]) if told["tracking"] else None,
    )


def log_file(folder: Path) -> Path:
    """Where the whole story of a failed stage is kept; its own folder is gone."""
    return folder.parent.parent / "logs" / f"{folder.name}.txt"
