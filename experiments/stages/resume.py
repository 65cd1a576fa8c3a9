"""Going on with a training that was interrupted: its checkpoint, its metrics and its pictures."""

import shutil
from dataclasses import dataclass
from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from experiments.engine.task import user_log
from experiments.stages.context import StageContext
from experiments.stages.plan import CHECKPOINT_FILE, PICTURES_FOLDER
from experiments.tracking import RunLogger, Tracker
from lightning_modules.callbacks.periodic_checkpoint import (
    STAGE_KEY,
    AtomicCheckpointIO,
    PeriodicCheckpoint,
    read_checkpoint,
)
from modalities.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class ResumeState:
    """What makes a stage's training resumable, and where it goes on from."""

    callback: PeriodicCheckpoint
    plugin: AtomicCheckpointIO
    path: str | None
    """The checkpoint that it goes on from; None where it starts anew."""
    previous_seconds: float
    """Seconds of training before the interruption."""


def prepare_resume(context: StageContext, module: LightningModule, logger: RunLogger) -> ResumeState:
    """Find out whether the stage goes on from a checkpoint, and say so."""
    path = context.folder / CHECKPOINT_FILE
    checkpoint: dict[str, Any] | None = None
    if path.exists():
        try:
            checkpoint = read_checkpoint(path, context.folder.name, module)
        except CheckpointError as error:
            _notify(f"{context.stage.name} starts from scratch, as its checkpoint cannot be used: {error}.")
            _delete_checkpoint(context)
    if checkpoint is not None:
        _notify(f"{context.stage.name} resumes from its checkpoint of step {checkpoint['global_step']}.")
        logger.restore(checkpoint[STAGE_KEY]["history"])
        _restore_pictures(context, checkpoint["global_step"])
    previous_seconds = float(checkpoint[STAGE_KEY]["seconds"]) if checkpoint else 0.0
    callback = PeriodicCheckpoint(
        path,
        context.folder.name,
        context.config.training.checkpoint_minutes,
        lambda: {"history": logger.history},
        previous_seconds=previous_seconds,
    )
    plugin = AtomicCheckpointIO(_notify, checkpoint)
    return ResumeState(
        callback=callback, plugin=plugin, path=str(path) if checkpoint else None, previous_seconds=previous_seconds
    )


def save_picture(context: StageContext, picture: Image.Image, step: int) -> None:
    """Put a picture of a step into the stage's folder and the tracker."""
    folder = context.folder / PICTURES_FOLDER
    folder.mkdir(exist_ok=True)
    picture.save(folder / f"step-{step:07d}.png")
    _log_picture(context, picture, step)


@rank_zero_only
def _restore_pictures(context: StageContext, last: int) -> None:
    """Store what was drawn until ``last`` in this run's ledger, too; what was drawn later is drawn again."""
    for path in sorted((context.folder / PICTURES_FOLDER).glob("step-*.png")):
        step = int(path.stem.removeprefix("step-"))
        if step > last:
            path.unlink()
        else:
            with Image.open(path) as picture:
                _log_picture(context, picture, step)


def _log_picture(context: StageContext, picture: Image.Image, step: int) -> None:
    if context.tracking is not None:
        Tracker(context.tracking[0], context.config.tracking.experiment).log_image(
            context.tracking[1], "validation", picture, step
        )


@rank_zero_only
def _delete_checkpoint(context: StageContext) -> None:
    """Remove what only its checkpoint gives a meaning."""
    (context.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    shutil.rmtree(context.folder / PICTURES_FOLDER, ignore_errors=True)


@rank_zero_only
def _notify(text: str) -> None:
    user_log.warning("%s", text)
