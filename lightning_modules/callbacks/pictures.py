"""Pictures of validation predictions, while training goes on."""

from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer


class PredictionImageCallback(Callback):
    """Has predictions drawn every so many steps, and at the end."""

    def __init__(self, every_n_steps: int, render_predictions: Callable[[LightningModule, int], None]) -> None:
        """Take the interval in optimizer steps, and the painter."""
        self._every_n_steps, self._render_predictions, self._last_step = every_n_steps, render_predictions, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that goes on has drawn the step that it goes on from."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, if it is time."""
        step = trainer.global_step
        if (
            trainer.is_global_zero
            and step != self._last_step
            and (step % self._every_n_steps == 0 or step == trainer.max_steps)
        ):
            self._last_step = step
            self._render_predictions(pl_module, step)
