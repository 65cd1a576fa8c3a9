"""What happens beside training: telling how far it is, and drawing what the model says."""

import time
from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer

Report = Callable[[float, float, str], None]
"""Takes the share done, the rate per second, and the rate's unit."""


class Reporter(Callback):
    """Tells how far a Trainer is, at most twice a second."""

    def __init__(self, report: Report, unit: str, per_step: int) -> None:
        """Take who is told, and what one step counts for, in units."""
        self._report, self._unit, self._per_step = report, unit, per_step
        self._began = self._said = 0.0
        self._first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began, self._first = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell, if it is time."""
        now = time.monotonic()
        if now - self._said < 0.5 or not trainer.is_global_zero:
            return
        self._said = now
        done = trainer.global_step - self._first
        rate = (
            done * self._per_step * trainer.world_size * trainer.accumulate_grad_batches / max(now - self._began, 1e-9)
        )
        self._report(trainer.global_step / max(1, trainer.max_steps), rate, self._unit)


class Pictures(Callback):
    """Has predictions drawn every so many steps, and at the end."""

    def __init__(self, every: int, paint: Callable[[LightningModule, int], None]) -> None:
        """Take the interval in optimizer steps, and the painter."""
        self._every, self._paint, self._last = every, paint, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that goes on has drawn the step that it goes on from."""
        self._last = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, if it is time."""
        step = trainer.global_step
        if trainer.is_global_zero and step != self._last and (step % self._every == 0 or step == trainer.max_steps):
            self._last = step
            self._paint(pl_module, step)
