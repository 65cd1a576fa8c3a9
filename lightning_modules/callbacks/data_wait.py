"""The share of a training's time that the model waits for batches."""

import time
from typing import Any, cast

from lightning import Callback, LightningModule, Trainer

from lightning_modules.data.prefetch import TimedDataLoader

DATA_WAIT = "train/data_wait"
"""Name of the logged metric: the share of the time since it was last logged, 0..1."""


class DataWait(Callback):
    """Logs how much of the time the model waits for its `TimedDataLoader`."""

    def __init__(self) -> None:
        self._start = self._last = (0.0, 0.0)
        self._step = 0

    @property
    def share(self) -> float:
        """Share of the whole training, until the last logged step."""
        return _share(self._start, self._last)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = self._last = _now(trainer)
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the share at the Trainer's interval."""
        # The step counts the batch that has just ended, unless gradients are accumulated further.
        if trainer.global_step == self._step or trainer.global_step % cast(Any, trainer).log_every_n_steps:
            return
        now = _now(trainer)
        pl_module.log(DATA_WAIT, _share(self._last, now))
        self._last, self._step = now, trainer.global_step


def _now(trainer: Trainer) -> tuple[float, float]:
    """The time, and the seconds waited until now."""
    loader = trainer.train_dataloader
    return time.perf_counter(), loader.seconds_waited if isinstance(loader, TimedDataLoader) else 0.0


def _share(start: tuple[float, float], end: tuple[float, float]) -> float:
    return (end[1] - start[1]) / max(end[0] - start[0], 1e-9)
