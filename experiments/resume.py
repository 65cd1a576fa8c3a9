"""Going on with a training that was interrupted: its checkpoint, its metrics and its pictures."""

import shutil
from dataclasses import dataclass
from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from experiments.context import Job
from experiments.order import NEWS
from experiments.stages import CHECKPOINT, PICTURES
from experiments.tracking import Ledger, RunLogger
from lightning_modules.resuming import FACTS, Checkpoints, WholeFile, read_checkpoint
from modalities.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """What makes a stage's training resumable, and where it goes on from."""

    callback: Checkpoints
    plugin: WholeFile
    path: str | None
    """The checkpoint that it goes on from; None where it starts anew."""
    earlier_seconds: float
    """Seconds of training before the interruption."""


def resumption_of(job: Job, module: LightningModule, logger: RunLogger) -> Resumption:
    """Find out whether the stage goes on from a checkpoint, and say so."""
    path = job.folder / CHECKPOINT
    found: dict[str, Any] | None = None
    if path.exists():
        try:
            found = read_checkpoint(path, job.folder.name, module)
        except CheckpointError as error:
            _tell(f"{job.stage.name} starts anew, as its checkpoint cannot be used: {error}.")
            _forget(job)
    if found is not None:
        _tell(f"{job.stage.name} goes on from its checkpoint of step {found['global_step']}.")
        logger.restore(found[FACTS]["history"])
        _restore_pictures(job, found["global_step"])
    earlier = float(found[FACTS]["seconds"]) if found else 0.0
    callback = Checkpoints(
        path,
        job.folder.name,
        job.config.training.checkpoint_minutes,
        lambda: {"history": logger.history},
        before=earlier,
    )
    plugin = WholeFile(_tell, found)
    return Resumption(callback=callback, plugin=plugin, path=str(path) if found else None, earlier_seconds=earlier)


def keep_picture(job: Job, picture: Image.Image, step: int) -> None:
    """Put a picture of a step into the job's folder and into the ledger."""
    folder = job.folder / PICTURES
    folder.mkdir(exist_ok=True)
    picture.save(folder / f"step-{step:07d}.png")
    _to_ledger(job, picture, step)


@rank_zero_only
def _restore_pictures(job: Job, last: int) -> None:
    """Store what was drawn until ``last`` in this run's ledger, too; what was drawn later is drawn again."""
    for path in sorted((job.folder / PICTURES).glob("step-*.png")):
        step = int(path.stem.removeprefix("step-"))
        if step > last:
            path.unlink()
        else:
            with Image.open(path) as picture:
                _to_ledger(job, picture, step)


def _to_ledger(job: Job, picture: Image.Image, step: int) -> None:
    if job.tracking is not None:
        Ledger(job.tracking[0], job.config.tracking.experiment).picture(job.tracking[1], "validation", picture, step)


@rank_zero_only
def _forget(job: Job) -> None:
    """Remove what only its checkpoint gives a meaning."""
    (job.folder / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(job.folder / PICTURES, ignore_errors=True)


@rank_zero_only
def _tell(text: str) -> None:
    NEWS.warning("%s", text)
