"""Images of validation predictions during training."""

from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer

from lightning_modules.callbacks.ema import averaged_weights


class PredictionImageCallback(Callback):
    """Calls a function that renders predictions every so many steps and at the end, with averaged weights if any."""

    def __init__(self, every_n_steps: int, render_predictions: Callable[[LightningModule, int], None]) -> None:
        """Take the interval in optimizer steps, and the function of the module and the step."""
        self._every_n_steps, self._render_predictions, self._last_step = every_n_steps, render_predictions, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """On resume, skip the step that was already rendered."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Render if the step is due."""
        step = trainer.global_step
        is_due = step % self._every_n_steps == 0 or step == trainer.max_steps
        if trainer.is_global_zero and step != self._last_step and is_due:
            self._last_step = step
            with averaged_weights(trainer, pl_module):
                self._render_predictions(pl_module, step)
