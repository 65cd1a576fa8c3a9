"""Going on in the middle of a training: a checkpoint every so many minutes, of which only the newest is kept.

It is written when a step and all that follows it are over: its metrics, its validation, its average. Lightning's own
places lie before these, and a training that goes on from there lacks them.
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
"""Where a checkpoint says what it is of, and what its user has put into it."""

Handler = Callable[[int, FrameType | None], Any]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; a full disk costs the checkpoint, not the training."""

    def __init__(self, on_error: Callable[[str], None], loaded: dict[str, Any] | None = None) -> None:
        """Take who is told of a checkpoint that cannot be written, and the content of one that has been read."""
        self._on_error, self._loaded = on_error, loaded

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it, whole or not at all."""
        try:
            with atomic_file(Path(path)) as file:
                torch.save(checkpoint, file)
        except DataError as error:
            self._on_error(f"Training continues without a checkpoint: {error}")
        except RuntimeError as error:  # torch.save raises it for a full disk.
            self._on_error(f"Training continues without a checkpoint: {path}: {error_summary(error)}.")

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The content that was read before."""
        assert self._loaded is not None
        loaded, self._loaded = self._loaded, None
        return loaded


def read_checkpoint(path: Path, signature: str, module: LightningModule) -> dict[str, Any]:
    """The content of the checkpoint at ``path``, which is of the same work and of a module like this one.

    Raises:
        CheckpointError: It is damaged, or of something else.
    """
    try:
        with zipfile.ZipFile(path) as file:
            # Torch does not look at the checksums that it writes.
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
    """Writes a checkpoint when it is time, and, in a training of one process, before a signal ends it."""

    def __init__(
        self,
        path: Path,
        signature: str,
        interval_minutes: float,
        extra_state: Callable[[], Mapping[str, Any]],
        *,
        previous_seconds: float = 0.0,
    ) -> None:
        """Take the file, what it is of, the interval, and what else goes into it.

        Args:
            minutes: Of wall time between checkpoints; 0 writes none.
            before: Seconds that went into the training before it was interrupted.
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
        """Seconds that have gone into the training, all its parts together."""
        return self._previous_seconds + time.monotonic() - self._start_time

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and have signals wait for the end of a step."""
        self._last_save_step, self._last_save_time = trainer.global_step, time.monotonic()
        self._is_resumed = trainer.global_step > 0
        is_main = threading.current_thread() is threading.main_thread()
        # The processes of several devices get a signal each at its own time: no step is the last of all of them.
        if self._interval and trainer.world_size == 1 and is_main:
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(signal_number)
                if callable(handler):
                    self._handlers[signal_number] = handler
                    signal.signal(signal_number, self._defer_signal)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Write, if it is time and no step is half done."""
        if self._is_resumed:
            self._is_resumed = False
            _fix_progress_counters(trainer)
        # A gradient that is still being accumulated is in no checkpoint.
        if not self._interval or batch_idx % trainer.accumulate_grad_batches:
            return
        if self._is_due(trainer) and trainer.global_step > self._last_save_step:
            trainer.save_checkpoint(self._path)
            self._last_save_step, self._last_save_time = trainer.global_step, time.monotonic()
        if self._pending_signal is not None:
            self._restore_handlers()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Signals wait no longer."""
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Signals wait no longer."""
        self._pending_signal = None
        self._restore_handlers()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say what the checkpoint is of."""
        checkpoint[STAGE_KEY] = {**self._extra_state(), "signature": self._signature, "seconds": self.seconds}

    def _is_due(self, trainer: Trainer) -> bool:
        """True where all processes write now."""
        if trainer.world_size == 1:
            return self._pending_signal is not None or time.monotonic() - self._last_save_time >= self._interval
        # Asking the others costs time, and all have to ask at the same step.
        if trainer.global_step % max(1, cast(Any, trainer).log_every_n_steps):
            return False
        return bool(trainer.strategy.broadcast(time.monotonic() - self._last_save_time >= self._interval))

    def _defer_signal(self, signal_number: int, frame: FrameType | None) -> None:
        """Remember a signal until the step is over; a second Ctrl-C is in a hurry.

        A second SIGTERM is not: schedulers of clusters send one to every process, and the launcher passes its own on.
        """
        if self._pending_signal is None:
            self._pending_signal = signal_number
        elif signal_number == signal.SIGINT:
            self._restore_handlers()

    def _restore_handlers(self) -> None:
        """Give signals back to whom they belong to, and send the one that waits on its way."""
        for signal_number, handler in self._handlers.items():
            signal.signal(signal_number, handler)
        self._handlers = {}
        pending, self._pending_signal = self._pending_signal, None
        if pending is not None:
            signal.raise_signal(pending)


def error_summary(error: BaseException) -> str:
    """What an error says, as one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _fix_progress_counters(trainer: Trainer) -> None:
    """Set right what Lightning counts twice when it goes on from a checkpoint that was written between two steps."""
    loop = cast(Any, trainer.fit_loop.epoch_loop)
    # This batch is ready and not started; the interrupted training had counted it as ready, too.
    loop.batch_progress.total.ready = loop.batch_progress.total.started + 1
    # The step that metrics are logged under.
    loop._batches_that_stepped = trainer.global_step  # noqa: SLF001  Lightning gives no other access.
