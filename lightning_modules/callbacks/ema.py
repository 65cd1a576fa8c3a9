"""Exponential moving average of the weights, on top of Lightning's weight averaging."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMAWeights(WeightAveraging):
    """Averages the weights after every optimizer step; validation uses the average, and so does the trained module.

    Lightning's `EMAWeightAveraging` differs in two ways: it averages buffers as well, although a codebook is an average
    already, and it calculates ``decay * old + (1 - decay) * new`` for one tensor at a time, where torch's
    `get_ema_multi_avg_fn` interpolates all of them at once, with other last digits.
    """

    def __init__(self, decay: float) -> None:
        """Take the share of the old value that an averaged weight keeps at each step."""
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the weights to the device of the training; the module itself is moved there only later."""
        self._device = self._device or trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    @contextmanager
    def applied(self, pl_module: LightningModule) -> Iterator[None]:
        """Exchange the module's weights for their average inside the block."""
        if self._average_model is None:
            yield
            return
        self._swap_models(pl_module)
        try:
            yield
        finally:
            self._swap_models(pl_module)


@contextmanager
def averaged_weights(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Exchange the module's weights for their average inside the block, if the Trainer averages weights."""
    ema = next((callback for callback in cast(Any, trainer).callbacks if isinstance(callback, EMAWeights)), None)
    if ema is None:
        yield
        return
    with ema.applied(pl_module):
        yield
