"""Training of the binding model. The arithmetic is in `networks.binding`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_modules.base import BaseModule, as_record
from lightning_modules.optim import TokenizerOptimConfig
from networks.batch import Samples, TokenBatch
from networks.binding.config import BindingConfig
from networks.binding.model import BindingModel
from networks.binding.tower import tower_batch
from networks.fourm.model import FourM
from networks.streams import Stream


@dataclass(frozen=True, kw_only=True)
class BindingOptimConfig(TokenizerOptimConfig):
    """Optimizer of the binding model, its schedule in steps."""

    section: ClassVar[str] = "binding_optim"

    lr: float = 3e-3
    """Peak learning rate, per optimizer step."""
    betas: tuple[float, float] = (0.9, 0.98)
    ema_decay: float = 0.0
    """Decay of the exponential moving average of the weights, per step; 0 trains without averaging."""
    steps: int = 300
    """Optimizer steps from start to end of the schedule."""
    warmup_steps: int = 30
    """Optimizer steps until the peak."""

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        return {**super().unused_settings(), "seed": "nothing is drawn in the training of a binding model"}


class BindingModule(BaseModule):
    """Trains one binding model on batches of each modality's tokens."""

    kind: ClassVar[str] = "a binding model"

    def __init__(
        self,
        streams: Sequence[Stream | dict[str, Any]],
        config: BindingConfig | dict[str, Any],
        optim: BindingOptimConfig | dict[str, Any],
        frozen: FourM | None = None,
    ) -> None:
        """Build the model.

        Args:
            streams: The image's stream first.
            frozen: A trained model whose encoder is the image's tower.
        """
        super().__init__(streams=streams, config=config, optim=optim)
        self.streams: tuple[Stream, ...] = tuple(as_record(Stream, stream) for stream in streams)
        self.config, self.optim = as_record(BindingConfig, config), as_record(BindingOptimConfig, optim)
        self.model = BindingModel(self.streams, self.config, frozen)

    @property
    def network(self) -> nn.Module:
        """The binding model."""
        return self.model

    @property
    def schedule_position(self) -> float:
        """Optimizer steps taken."""
        return self.global_step

    def named_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The weights that are trained."""
        return ((name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad)

    def training_step(self, batch: Mapping[str, TokenBatch], batch_idx: int) -> Tensor:
        """The loss of one batch."""
        output = self.model(batch)
        if self.should_log:
            self.log("train/loss", output.loss.detach(), batch_size=_size(batch))
            self.log_dict(
                {f"train/{name}/loss": loss.detach() for name, loss in output.losses.items()}, batch_size=_size(batch)
            )
        loss: Tensor = output.loss
        return loss

    def validation_step(self, batch: Mapping[str, TokenBatch], batch_idx: int) -> None:
        """The loss of one held-out batch."""
        output = self.model(batch)
        self.log("val/loss", output.loss, batch_size=_size(batch), sync_dist=True)
        for name, loss in output.losses.items():
            self.log(f"val/{name}/loss", loss, batch_size=_size(batch), sync_dist=True)


class TowerBatches:
    """Makes the towers' batches of whole samples; nothing is drawn."""

    def __init__(self, model: BindingModel) -> None:
        self.streams = model.streams
        self._towers = dict(model.towers.items())

    def __call__(self, samples: Samples, generator: torch.Generator) -> dict[str, TokenBatch]:
        """The batch of each modality."""
        return {item.modality: tower_batch(self._towers[item.modality], item.name, samples) for item in self.streams}


def _size(batch: Mapping[str, TokenBatch]) -> int:
    return len(next(iter(batch.values())).ids)
