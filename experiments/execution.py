"""One stage, run from its order to its folder, which appears whole or not at all."""

import json
import logging
import shutil
import time
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path

from experiments.order import Order, Report, log_file
from experiments.stages import CHECKPOINT, DONE, PICTURES, working_folder
from modalities.errors import DataError, UserError
from modalities.spec import Modality

LOG = "log.txt"
"""File in a stage's folder with its warnings."""

NOISE = (
    ".*LeafSpec.*",  # Lightning 2.6 asks torch for a class that will be renamed.
    ".*does not have many workers.*",  # Batches are made from memory.
    ".*smaller than the logging interval.*",  # Epochs may be short; steps are counted over all of them.
    ".*but have no `val_dataloader`.*",  # Tokenizers are measured after their training.
    ".*your dataloader is not resumable.*",  # The data module is.
)
"""Warnings of Lightning's about what is meant to be so."""


def execute(order: Order, report: Report, modalities: Mapping[str, Modality]) -> None:
    """Run one stage, and put its folder in place when it has ended well."""
    partial = working_folder(order.folder)
    _tidy(partial)
    began = time.time()
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _Logged(partial):
            _perform(order, partial, report, modalities)
        told = {"stage": order.stage.name, "kind": order.stage.kind, "started": began, "seconds": time.time() - began}
        run = order.tracking[1] if order.tracking else None
        (partial / DONE).write_text(json.dumps({**told, "run": run}))
        partial.rename(order.folder)
        (order.folder / CHECKPOINT).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename or order.folder}: {error.strerror or error}.") from error
    finally:
        _tidy(partial)


def follow(order: Order, modalities: Mapping[str, Modality]) -> None:
    """Do the part in a stage of a process that is not its first: train along, and write nothing."""
    _perform(order, working_folder(order.folder), lambda *_: None, modalities)


def failure(order: Order, error: Exception) -> tuple[str, str]:
    """What to tell of an error: a mistake is told as it is, of a failure the whole story goes to a file."""
    if isinstance(error, UserError):
        return "mistake", str(error)
    path = log_file(order.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)))
    first = str(error).strip().splitlines()
    return "failed", f"{type(error).__name__}: {first[0] if first else ''}"


def _tidy(partial: Path) -> None:
    """Remove a stage's working folder, or, where there is a checkpoint in it, all that the next start makes again."""
    if not (partial / CHECKPOINT).is_file():
        shutil.rmtree(partial, ignore_errors=True)
        return
    for path in partial.iterdir():
        if path.is_dir() and path.name != PICTURES:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and path.name not in (CHECKPOINT, LOG):
            path.unlink(missing_ok=True)


def _perform(order: Order, folder: Path, report: Report, modalities: Mapping[str, Modality]) -> None:
    # Torch and Lightning are a worker's to import, not the launcher's.
    from experiments.context import Job
    from experiments.work import RUNNERS

    # Lightning tells which devices there are and where to sign up, once for every Trainer.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    job = Job(
        config=order.config,
        stage=order.stage,
        modalities=modalities,
        inputs=order.inputs,
        folder=folder,
        report=report,
        tracking=order.tracking,
    )
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message)
        try:
            RUNNERS[order.stage.kind](job)
        except SystemExit as error:
            # Lightning makes an exit of Ctrl-C, which says no more why.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise


class _Logged:
    """Warnings and worse of one stage go to a file in its folder."""

    def __init__(self, folder: Path) -> None:
        self._handler = logging.FileHandler(folder / LOG, delay=True)
        self._handler.setLevel(logging.WARNING)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()
