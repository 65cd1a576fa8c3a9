"""Resuming a training: a checkpoint every few minutes, of which only the newest is kept.

It is written before the next step starts, when the metrics, the validation and the weight averaging of the last step
are done. Lightning's own hooks for checkpoints run earlier, and a training resumed from there would miss these.
"""

import pickle
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from modalities.errors import CheckpointError, DataError
from modalities.storage.atomic import atomic_file

STAGE_KEY = "stage"
"""Key of the stage's signature, its training time and its extra state in a checkpoint."""

Handler = Callable[[int, FrameType | None], Any]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically; a full disk is reported and does not stop the training."""

    def __init__(self, on_error: Callable[[str], None], loaded: dict[str, Any] | None = None) -> None:
        """Take the receiver of error messages, and the content of the checkpoint to resume from."""
        self._on_error, self._loaded = on_error, loaded

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        try:
            with atomic_file(Path(path)) as file:
                torch.save(checkpoint, file)
        except DataError as error:
            self._on_error(f"Training continues without a checkpoint: {error}")
        except RuntimeError as error:  # torch.save raises it for a full disk.
            self._on_error(f"Training continues without a checkpoint: {path}: {error_summary(error)}.")

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The content that was read before, by `read_checkpoint`."""
        assert self._loaded is not None
        loaded, self._loaded = self._loaded, None
        return loaded


def read_checkpoint(path: Path, signature: str, module: LightningModule) -> dict[str, Any]:
    """Read and check the checkpoint at ``path``.

    Args:
        signature: Signature that the checkpoint must have.
        module: Module whose weights must have the same names and shapes.

    Raises:
        CheckpointError: The file is damaged, or is of another stage or module.
    """
    try:
        with zipfile.ZipFile(path) as file:
            # Torch does not verify the checksums that it writes.
            damaged = file.testzip()
        if damaged is not None:
            raise CheckpointError(f"{damaged} in it has another checksum")
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise CheckpointError(f"it is damaged: {error_summary(error)}") from error
    if not isinstance(content, dict) or not {STAGE_KEY, "loops", "state_dict", "global_step"} <= content.keys():
        raise CheckpointError("it is no checkpoint of a stage")
    if content[STAGE_KEY].get("signature") != signature:
        raise CheckpointError(f"it is of {content[STAGE_KEY].get('signature')}, not of {signature}")
    ours = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in content["state_dict"].items()}
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if differing:
        raise CheckpointError(f"it was written by other code: {differing[0]} differs")
    return content


class PeriodicCheckpoint(Callback):
    """Writes a checkpoint at intervals, and, in a training of one process, before SIGINT or SIGTERM ends it."""

    def __init__(
        self,
        path: Path,
        signature: str,
        interval_minutes: float,
        extra_state: Callable[[], Mapping[str, Any]],
        *,
        previous_seconds: float = 0.0,
    ) -> None:
        """Configure the checkpoint.

        Args:
            path: File of the newest checkpoint.
            signature: Written into the checkpoint, and compared by `read_checkpoint`.
            interval_minutes: Wall time between checkpoints; 0 writes none.
            extra_state: Gives further content for the checkpoint.
            previous_seconds: Training time before the interruption.
        """
        self._path, self._signature, self._interval, self._extra_state = (
            path,
            signature,
            60 * interval_minutes,
            extra_state,
        )
        self._previous_seconds, self._start_time = previous_seconds, time.monotonic()
        self._last_save_time, self._last_save_step = time.monotonic(), 0
        self._is_resumed = False
        self._handlers: dict[int, Handler] = {}
        self._pending_signal: int | None = None

    @property
    def seconds(self) -> float:
        """Training time in seconds, earlier parts of an interrupted training included."""
        return self._previous_seconds + time.monotonic() - self._start_time

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and defer signals to the end of a step."""
        self._last_save_step, self._last_save_time = trainer.global_step, time.monotonic()
        self._is_resumed = trainer.global_step > 0
        is_main = threading.current_thread() is threading.main_thread()
        # Several processes receive a signal at different times, so they do not agree on a last step.
        if self._interval and trainer.world_size == 1 and is_main:
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(signal_number)
                if callable(handler):
                    self._handlers[signal_number] = handler
                    signal.signal(signal_number, self._defer_signal)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Write a checkpoint if it is due and no gradient is being accumulated."""
        if self._is_resumed:
            self._is_resumed = False
            _fix_progress_counters(trainer)
        # Checkpoints do not hold accumulated gradients.
        if not self._interval or batch_idx % trainer.accumulate_grad_batches:
            return
        if self._is_due(trainer) and trainer.global_step > self._last_save_step:
            trainer.save_checkpoint(self._path)
            self._last_save_step, self._last_save_time = trainer.global_step, time.monotonic()
        if self._pending_signal is not None:
            self._restore_handlers()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers."""
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the signal handlers."""
        self._pending_signal = None
        self._restore_handlers()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the signature, the training time and the extra state."""
        checkpoint[STAGE_KEY] = {**self._extra_state(), "signature": self._signature, "seconds": self.seconds}

    def _is_due(self, trainer: Trainer) -> bool:
        """True if a checkpoint is due, in all processes at the same step."""
        if trainer.world_size == 1:
            return self._pending_signal is not None or time.monotonic() - self._last_save_time >= self._interval
        # Communication takes time, and every process must take part at the same step.
        if trainer.global_step % max(1, cast(Any, trainer).log_every_n_steps):
            return False
        return bool(trainer.strategy.broadcast(time.monotonic() - self._last_save_time >= self._interval))

    def _defer_signal(self, signal_number: int, frame: FrameType | None) -> None:
        """Keep a signal until the step ends; a second SIGINT takes effect at once.

        A second SIGTERM does not: a cluster's scheduler sends one to every process, and the launcher forwards its own.
        """
        if self._pending_signal is None:
            self._pending_signal = signal_number
        elif signal_number == signal.SIGINT:
            self._restore_handlers()

    def _restore_handlers(self) -> None:
        """Restore the signal handlers, and raise a deferred signal."""
        for signal_number, handler in self._handlers.items():
            signal.signal(signal_number, handler)
        self._handlers = {}
        pending, self._pending_signal = self._pending_signal, None
        if pending is not None:
            signal.raise_signal(pending)


def error_summary(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _fix_progress_counters(trainer: Trainer) -> None:
    """Correct counters that Lightning restores wrongly from a checkpoint written between two steps."""
    loop = cast(Any, trainer.fit_loop.epoch_loop)
    # This batch is ready but not started, and the interrupted training had already counted it as ready.
    loop.batch_progress.total.ready = loop.batch_progress.total.started + 1
    # Step under which metrics are logged.
    loop._batches_that_stepped = trainer.global_step  # noqa: SLF001  Lightning gives no other access.
