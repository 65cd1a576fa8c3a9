"""Progress of a training: the share done and the rate."""

import time
from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer

ProgressCallback = Callable[[float, float, str], None]
"""Receives the share done, the rate per second, and the rate's unit."""


class ProgressReporter(Callback):
    """Reports the progress of a Trainer, at most twice a second."""

    def __init__(self, report: ProgressCallback, unit: str, units_per_batch: int) -> None:
        """Take the receiver, the unit of the rate, and how many of them one batch of one process has."""
        self._report, self._unit, self._units_per_batch = report, unit, units_per_batch
        self._start_time = self._last_report_time = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start_time, self._first_step = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report, unless the last report is less than half a second old."""
        now = time.monotonic()
        if now - self._last_report_time < 0.5 or not trainer.is_global_zero:
            return
        self._last_report_time = now
        batches = (trainer.global_step - self._first_step) * trainer.accumulate_grad_batches * trainer.world_size
        rate = batches * self._units_per_batch / max(now - self._start_time, 1e-9)
        self._report(trainer.global_step / max(1, trainer.max_steps), rate, self._unit)
