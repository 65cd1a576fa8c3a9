"""A stage's record on its way to another process, and the errors that come back."""

import io
import logging
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

from lightning import Callback

from experiments.schema.experiment import ExperimentConfig
from experiments.schema.sections import ExecutorConfig
from experiments.stage_kinds import STAGE_KINDS
from experiments.stages.context import StageContext, user_log
from modalities.errors import ConfigError, UserError
from modalities.registry import Registry


class ForwardHandler(logging.Handler):
    """Passes log messages on to the process that started this one."""

    def __init__(self, send: Callable[[str], None]) -> None:
        """Pass each message to ``send``."""
        super().__init__()
        self._forward = send

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message on."""
        self._forward(record.getMessage())


class StageError(UserError):
    """A stage failed for a reason other than a mistake of the user's."""


class _Pickler(pickle.Pickler):
    """Refuses what pickles by name but is found under that name in this process alone: definitions in ``__main__``."""

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"{obj.__qualname__} is defined in __main__, which other processes lack")
        return NotImplemented


def sending_problem(registry: Registry, callbacks: Iterable[Callback]) -> str | None:
    """Say in one line what of a registry or of callbacks cannot be sent to another process; None if all can."""
    items: list[tuple[str, object]] = [
        (f"Modality {item.name!r} of {item.origin}", item) for item in registry.providers()
    ]
    items += [(f"The callback {type(item).__name__}", item) for item in callbacks]
    for label, item in items:
        try:
            _dumps(item)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return f"{label} cannot be sent to another process: {first.rstrip('.')}."
    return None


def choose_executor(config: ExperimentConfig, registry: Registry, callbacks: Iterable[Callback]) -> ExecutorConfig:
    """The config's executor, or one that runs stages in this process, if something cannot be sent to another one.

    Raises:
        ConfigError: It cannot be sent, and a stage trains on several devices, which takes processes of their own.
    """
    if config.executor.workers == 0 and all(kind.devices(config) == 1 for kind in STAGE_KINDS.values()):
        return config.executor
    problem = sending_problem(registry, callbacks)
    if problem is None:
        return config.executor
    if any(kind.devices(config) > 1 for kind in STAGE_KINDS.values()):
        raise ConfigError(f"{problem} Training on several devices needs it there: define it in a module that imports.")
    user_log.warning("%s Stages run in this process, one at a time: executor.workers has no effect.", problem)
    return replace(config.executor, workers=0)


def _dumps(value: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


def num_devices(task: StageContext) -> int:
    """Devices that a stage trains on, each with a process of its own."""
    return STAGE_KINDS[task.stage.kind].devices(task.config)


def write_task(path: Path, task: StageContext) -> None:
    """Write a stage's record for the processes of its devices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_dumps(task))


def read_task(path: Path) -> StageContext:
    """Read the record that `write_task` wrote."""
    task = pickle.loads(path.read_bytes())
    assert isinstance(task, StageContext)
    return task


def failure_log_path(folder: Path) -> Path:
    """The file that keeps a failed stage's traceback; the stage's own folder is removed."""
    return folder.parent.parent / "logs" / f"{folder.name}.txt"
