"""Runs one stage; its result folder appears atomically."""

import json
import logging
import shutil
import time
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

from experiments.engine.task import failure_log_path
from experiments.shards import drop_other_stages
from experiments.stage_kinds import STAGE_KINDS
from experiments.stages.base import ShardedStageKind
from experiments.stages.context import StageContext
from experiments.stages.plan import CHECKPOINT_FILE, DONE_FILE, PICTURES_FOLDER, partial_folder
from modalities.errors import DataError, UserError

LOG_FILE = "log.txt"
"""File in a stage's folder with its warnings."""

IGNORED_WARNINGS = (
    ".*LeafSpec.*",  # Lightning 2.6 asks torch for a class that will be renamed.
    ".*does not have many workers.*",  # Batches are made from memory.
    ".*smaller than the logging interval.*",  # Epochs may be short; steps are counted over all of them.
    ".*but have no `val_dataloader`.*",  # Tokenizers are measured after their training.
    ".*your dataloader is not resumable.*",  # The data module is.
)
"""Warnings of Lightning's about what is meant to be so."""


def run_item(task: StageContext) -> None:
    """Do one work item of a stage, which writes its result beside the stages' folders.

    Raises:
        DataError: Something cannot be written.
    """
    log_folder = failure_log_path(task.folder).parent
    try:
        with _WarningLog(log_folder / f"{task.folder.name}.warnings.txt"):
            _run_kind(task)
    except OSError as error:
        raise DataError(f"{error.filename or task.folder}: {error.strerror or error}.") from error


def run_stage(task: StageContext) -> None:
    """Run one stage, and put its folder in place when it has ended well.

    Raises:
        DataError: Something cannot be written.
    """
    partial = partial_folder(task.folder)
    _clean_partial_folder(partial)
    start_time = task.started_at or time.time()
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _WarningLog(partial / LOG_FILE):
            _run_kind(replace(task, folder=partial))
        metadata = {
            "stage": task.stage.name,
            "kind": task.stage.kind,
            "started": start_time,
            "seconds": time.time() - start_time,
        }
        run_id = task.tracked_run.run_id if task.tracked_run else None
        (partial / DONE_FILE).write_text(json.dumps({**metadata, "run": run_id}))
        partial.rename(task.folder)
        (task.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename or task.folder}: {error.strerror or error}.") from error
    finally:
        _clean_partial_folder(partial)


def run_other_rank(task: StageContext) -> None:
    """Do the part of a process that is not the stage's first: train along, and write nothing."""
    _run_kind(replace(task, folder=partial_folder(task.folder)))


def describe_failure(task: StageContext, error: Exception) -> tuple[str, str]:
    """Message kind and text of an error; the traceback of one that is no mistake of the user's goes to a file."""
    if isinstance(error, UserError):
        return "user_error", str(error)
    path = failure_log_path(task.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)))
    lines = str(error).strip().splitlines()
    return "failed", f"{type(error).__name__}: {lines[0] if lines else ''}"


def _clean_partial_folder(partial: Path) -> None:
    """Remove a stage's temporary folder, or if it holds a checkpoint, everything that the next start makes again."""
    if not (partial / CHECKPOINT_FILE).is_file():
        shutil.rmtree(partial, ignore_errors=True)
        return
    for path in partial.iterdir():
        if path.is_dir() and path.name != PICTURES_FOLDER:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and path.name not in (CHECKPOINT_FILE, LOG_FILE):
            path.unlink(missing_ok=True)


def _run_kind(context: StageContext) -> None:
    # Lightning tells which devices there are and where to sign up, once for every Trainer.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        try:
            kind = STAGE_KINDS[context.stage.kind]
            drop_other_stages(context)
            if context.item is None:
                kind.run(context)
            else:
                assert isinstance(kind, ShardedStageKind)
                kind.run_item(context, context.item)
        except SystemExit as error:
            # Lightning makes an exit of Ctrl-C, which no longer says why.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise


class _WarningLog:
    """Writes warnings and errors of one stage to a file, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = logging.FileHandler(path, delay=True)
        self._handler.setLevel(logging.WARNING)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()
