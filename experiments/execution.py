"""One stage, run from its order to its folder, which appears whole or not at all."""

import json
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.config import ExperimentConfig
from experiments.stages import DONE, Stage
from modalities.errors import DataError
from modalities.spec import Modality

NOISE = (
    ".*LeafSpec.*",  # Lightning 2.6 asks torch for a class that will be renamed.
    ".*does not have many workers.*",  # Batches are made from memory.
    ".*but have no `val_dataloader`.*",  # Tokenizers are measured after their training.
)
"""Warnings of Lightning's about what is meant to be so."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A stage with all that a worker needs to run it."""

    config: ExperimentConfig
    stage: Stage
    inputs: dict[str, Path]
    folder: Path
    tracking: tuple[str, str] | None = None


def execute(order: Order, report: Callable[[float, float, str], None], modalities: Mapping[str, Modality]) -> None:
    """Run one stage, and put its folder in place when it has ended well."""
    # Torch and Lightning are a worker's to import, not the launcher's.
    from experiments.context import Job
    from experiments.work import RUNNERS

    # Lightning tells which devices there are and where to sign up, once for every Trainer.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    partial = order.folder.with_name(f".{order.folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    began = time.time()
    try:
        partial.mkdir(parents=True)
        job = Job(
            config=order.config,
            stage=order.stage,
            modalities=modalities,
            inputs=order.inputs,
            folder=partial,
            report=report,
            tracking=order.tracking,
        )
        with _Logged(partial), warnings.catch_warnings():
            for message in NOISE:
                warnings.filterwarnings("ignore", message)
            RUNNERS[order.stage.kind](job)
        told = {"stage": order.stage.name, "kind": order.stage.kind, "started": began, "seconds": time.time() - began}
        run = order.tracking[1] if order.tracking else None
        (partial / DONE).write_text(json.dumps({**told, "run": run}))
        partial.rename(order.folder)
    except OSError as error:
        raise DataError(f"{error.filename or order.folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Logged:
    """Warnings and worse of one stage go to a file in its folder."""

    def __init__(self, folder: Path) -> None:
        self._handler = logging.FileHandler(folder / "log.txt", delay=True)
        self._handler.setLevel(logging.WARNING)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()


def log_file(folder: Path) -> Path:
    """Where the whole story of a failed stage is kept; its own folder is gone."""
    return folder.parent.parent / "logs" / f"{folder.name}.txt"
