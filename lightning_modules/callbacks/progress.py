"""What happens beside training: telling how far it is, and drawing what the model says."""

import time
from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer

ProgressCallback = Callable[[float, float, str], None]
"""Takes the share done, the rate per second, and the rate's unit."""


class ProgressReporter(Callback):
    """Tells how far a Trainer is, at most twice a second."""

    def __init__(self, report: ProgressCallback, unit: str, units_per_step: int) -> None:
        """Take who is told, and what one step counts for, in units."""
        self._report, self._unit, self._units_per_step = report, unit, units_per_step
        self._start_time = self._last_report_time = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start_time, self._first_step = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell, if it is time."""
        now = time.monotonic()
        if now - self._last_report_time < 0.5 or not trainer.is_global_zero:
            return
        self._last_report_time = now
        done = trainer.global_step - self._first_step
        rate = (
            done
            * self._units_per_step
            * trainer.world_size
            * trainer.accumulate_grad_batches
            / max(now - self._start_time, 1e-9)
        )
        self._report(trainer.global_step / max(1, trainer.max_steps), rate, self._unit)
