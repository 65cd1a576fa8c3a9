"""Training of the 4M model. The arithmetic is in `networks.fourm`; precision, devices, strategy are the Trainer's."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.base import BaseModule, as_record
from lightning_modules.optim import FourMOptimConfig
from lightning_modules.optimizers import unmatched_patterns
from modalities.errors import UserError
from networks.batch import TokenBatch
from networks.fourm.config import FourMConfig
from networks.fourm.model import FourM, FourMOutput
from networks.kernels.row_table import retain_table_grads, zero_grads
from networks.streams import Stream

log = logging.getLogger(__name__)

TOKENS_KEY = "tokens_seen"
"""Key of `FourMModule.tokens_seen` in a checkpoint."""


class DivergedError(UserError):
    """The loss is no longer a number."""


class FourMModule(BaseModule):
    """Trains one 4M model on masked batches."""

    kind: ClassVar[str] = "a 4M model"

    def __init__(
        self,
        streams: Sequence[Stream | dict[str, Any]],
        config: FourMConfig | dict[str, Any],
        optim: FourMOptimConfig | dict[str, Any],
    ) -> None:
        """Build the model."""
        super().__init__(streams=streams, config=config, optim=optim)
        self.streams: tuple[Stream, ...] = tuple(as_record(Stream, stream) for stream in streams)
        self.config, self.optim = as_record(FourMConfig, config), as_record(FourMOptimConfig, optim)
        self.model = FourM(self.streams, self.config)
        self.tokens_seen = 0
        """Slots that all ranks have trained on."""

    @property
    def network(self) -> nn.Module:
        """The 4M model."""
        return self.model

    @property
    def schedule_position(self) -> float:
        """Training tokens so far, those of the current step included."""
        return self.tokens_seen

    def configure_optimizers(self) -> Optimizer:
        """The optimizer; warns of patterns that match no weight."""
        for pattern in unmatched_patterns((name for name, _ in self.named_weights()), self.optim):
            log.warning("%s matches no weight of this model.", pattern)
        return super().configure_optimizers()

    def clipped_weights(self, optimizer: Optimizer) -> list[nn.Parameter]:
        """All weights, in the order of the model."""
        return list(self.model.parameters())

    def on_fit_start(self) -> None:
        """Keep the gradients of the token tables on one CPU; gathering them over ranks needs autograd's own."""
        if self.trainer.world_size == 1 and self.device.type == "cpu":
            retain_table_grads(self.model)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Reset the gradients."""
        zero_grads(self.model)

    def on_train_batch_start(self, batch: TokenBatch, batch_idx: int) -> None:
        """Drop metrics of earlier steps: a modality without targets in this step has no loss in it."""
        if self.should_log and batch_idx % self.trainer.accumulate_grad_batches == 0:
            # Lightning would write the old value again under this step.
            cast(Any, self.trainer.fit_loop.epoch_loop)._results.reset()  # noqa: SLF001

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        """The loss of one batch.

        Raises:
            DivergedError: The loss is not finite.
        """
        output: FourMOutput = self.model(batch)
        self.tokens_seen += batch.num_tokens * self.trainer.world_size
        if self.should_log:
            if not torch.isfinite(output.loss):
                raise DivergedError(
                    f"The loss is {output.loss.item()} at step {self.global_step}. Lower optim.lr, or set optim.clip."
                )
            self.log("train/loss", output.loss.detach())
            self.log_dict({f"train/{name}/loss": loss.detach() for name, loss in output.losses.items()})
            self.log("train/tokens", float(self.tokens_seen))
        return output.loss

    def validation_step(self, batch: TokenBatch, batch_idx: int) -> None:
        """The loss of one held-out batch under fixed masks, with averaged weights if the config averages."""
        output = self.model(batch)
        size = len(batch.ids)
        self.log("val/loss", output.loss, batch_size=size, sync_dist=True)
        for name, loss in output.losses.items():
            self.log(f"val/{name}/loss", loss, batch_size=output.counts[name], sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the number of training tokens."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[TOKENS_KEY] = self.tokens_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the checkpoint, and restore the number of training tokens.

        Raises:
            CheckpointError: It is of another model; the message names the difference.
        """
        super().on_load_checkpoint(checkpoint)
        self.tokens_seen = int(checkpoint[TOKENS_KEY])

    def describe_differences(self, expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
        """Missing and additional streams by name, or else the settings that differ."""
        ours, theirs = ({stream["name"] for stream in item["streams"]} for item in (expected, found))
        if ours != theirs:
            return [
                f"it has the streams {sorted(theirs - ours) or 'none'} that this run lacks, "
                f"and lacks {sorted(ours - theirs) or 'none'}"
            ]
        return super().describe_differences(expected, found)
