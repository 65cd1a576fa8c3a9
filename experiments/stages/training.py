"""Parts that the training stages share: settings of the Trainer, callbacks, and resuming after an interruption."""

import shutil
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from evaluation.report.sheets import validation_sheet
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.context import StageContext, user_log
from experiments.stages.inputs import build_codec, open_eval_split
from experiments.stages.plan import CHECKPOINT_FILE, PICTURES_FOLDER
from experiments.tracker import RunLogger
from experiments.tracking import connect_tracker
from lightning_modules.callbacks.data_wait import DataWait
from lightning_modules.callbacks.periodic_checkpoint import (
    STAGE_KEY,
    AtomicCheckpointIO,
    PeriodicCheckpoint,
    read_checkpoint,
)
from lightning_modules.callbacks.pictures import PredictionImageCallback
from lightning_modules.callbacks.progress import ProgressReporter
from lightning_modules.fourm import FourMModule
from modalities.errors import CheckpointError
from modalities.layouts import Dense

HISTORY_FILE = "history.json"
"""File of a trained stage with its logged metrics by step."""


def base_trainer_kwargs(config: ExperimentConfig) -> dict[str, Any]:
    """Trainer arguments of every stage: nothing on the terminal, no files of its own."""
    return {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "accelerator": config.executor.accelerator,
    }


def lightning_strategy(config: ExperimentConfig, devices: int) -> str:
    """Lightning's name of the strategy for so many devices.

    Batches need not have targets of every modality, so plain DDP, which waits for every weight's gradient, would hang.
    """
    if devices == 1:
        return "auto"
    name = "ddp" if config.executor.strategy == "auto" else config.executor.strategy
    return "ddp_find_unused_parameters_true" if name == "ddp" else name


def leave_process_group(trainer: Trainer) -> bool:
    """Leave the group of processes that have trained together; True in the one that writes the result."""
    # Metrics would otherwise wait for processes that have ended.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return trainer.is_global_zero


def build_run_logger(context: StageContext) -> RunLogger:
    """Lightning logger that keeps the stage's metrics and writes them to its run in the tracker."""
    run = context.tracked_run
    return RunLogger(connect_tracker(run.uri), run.run_id) if run else RunLogger(None, None)


@dataclass(frozen=True, kw_only=True)
class ResumeState:
    """Callback and plugin that make a stage's training resumable, and the checkpoint that it resumes from."""

    callback: PeriodicCheckpoint
    plugin: AtomicCheckpointIO
    path: str | None
    """The checkpoint that it resumes from; None if it starts anew."""
    previous_seconds: float
    """Seconds of training before the interruption."""


def progress_callbacks(context: StageContext, unit: str, units_per_step: int) -> tuple[ProgressReporter, DataWait]:
    """Callbacks that report a training's progress and its waits; ``units_per_step`` counts a batch of one process."""
    return ProgressReporter(context.report_progress, unit, units_per_step), DataWait()


def prepare_resume(context: StageContext, module: LightningModule, logger: RunLogger) -> ResumeState:
    """Find the stage's checkpoint, if it left one that can be used, and say what becomes of it."""
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
    """Save a picture of a step in the stage's folder and in the tracker."""
    folder = context.folder / PICTURES_FOLDER
    folder.mkdir(exist_ok=True)
    picture.save(folder / f"step-{step:07d}.png")
    _log_picture(context, picture, step)


def picture_callbacks(context: StageContext) -> list[Callback]:
    """The callback that draws validation predictions into the stage's folder and the tracker; none without targets.

    Predictions are made from the first grid that has a pixel stream, or in an arm without one from the first grid.
    """
    if not context.config.training.pictures_every:
        return []
    names = list(context.config.arm_modalities(context.stage.run_args["arm"]))
    codec = build_codec(context, names)
    held_out = open_eval_split(context, "validation", names)
    grids = [name for name, item in codec.modalities.items() if isinstance(item.layout, Dense)]
    photographs = [name for name in grids if codec.modalities[name].has_pixel_stream]
    source = next(iter([*photographs, *grids]), None)
    targets = [name for name in context.config.training.pictures_of if name in codec.modalities and name != source]
    if source is None or not targets or not held_out.samples_with(source, 1):
        return []

    def draw_pictures(module: LightningModule, step: int) -> None:
        model = cast(FourMModule, module).model
        picture = validation_sheet(model, codec, held_out, targets, context.config.evaluation, source).image()
        save_picture(context, picture, step)

    return [PredictionImageCallback(context.config.training.pictures_every, draw_pictures)]


@rank_zero_only
def _restore_pictures(context: StageContext, last: int) -> None:
    """Log the pictures until step ``last`` to this run of the tracker too; delete later ones, which are drawn again."""
    for path in sorted((context.folder / PICTURES_FOLDER).glob("step-*.png")):
        step = int(path.stem.removeprefix("step-"))
        if step > last:
            path.unlink()
        else:
            with Image.open(path) as picture:
                _log_picture(context, picture, step)


def _log_picture(context: StageContext, picture: Image.Image, step: int) -> None:
    if (run := context.tracked_run) is not None:
        connect_tracker(run.uri).log_image(run.run_id, "validation", picture, step)


@rank_zero_only
def _delete_checkpoint(context: StageContext) -> None:
    """Delete the checkpoint, and the pictures that belong to it."""
    (context.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    shutil.rmtree(context.folder / PICTURES_FOLDER, ignore_errors=True)


@rank_zero_only
def _notify(text: str) -> None:
    user_log.warning("%s", text)
