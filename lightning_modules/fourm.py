"""Training of the 4M model. The arithmetic is in `networks.fourm`; precision, devices, strategy are the Trainer's."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lightning_modules.optim import OptimConfig, build_adamw
from modalities.errors import CheckpointError, UserError
from modalities.storage.serialization import to_plain
from networks.batch import TokenBatch
from networks.fourm.config import FourMConfig
from networks.fourm.model import FourM, FourMOutput
from networks.kernels.row_table import retain_table_grads, zero_grads
from networks.streams import Stream


class DivergedError(UserError):
    """The loss is no longer a number."""


class FourMModule(LightningModule):
    """Trains one 4M model on masked batches."""

    def __init__(self, streams: Sequence[Stream], config: FourMConfig, optim: OptimConfig) -> None:
        super().__init__()
        self.streams, self.config, self.optim = tuple(streams), config, optim
        self.model = FourM(self.streams, config)
        self.ema_model: AveragedModel | None = None
        if optim.ema_decay:
            averaging = get_ema_multi_avg_fn(optim.ema_decay)
            self.ema_model = AveragedModel(self.model, multi_avg_fn=averaging).requires_grad_(requires_grad=False)
        self.tokens_seen = 0
        """Slots that all ranks have trained on."""

    @property
    def inference_model(self) -> FourM:
        """The model to be used after training: the averaged weights where there are any."""
        return self.model if self.ema_model is None else cast(FourM, self.ema_model.module)

    @property
    def _should_log(self) -> bool:
        """True in the steps whose metrics Lightning writes, which are the last of every so many.

        What is logged in another step would be written under that later step, or lost if training were interrupted.
        """
        return bool((self.global_step + 1) % cast(Any, self.trainer).log_every_n_steps == 0)

    def on_fit_start(self) -> None:
        """On one CPU keep the gradients of the token tables; who gathers gradients wants them from autograd."""
        if self.trainer.world_size == 1 and self.device.type == "cpu":
            retain_table_grads(self.model)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Begin a new step."""
        zero_grads(self.model)

    def on_train_batch_start(self, batch: TokenBatch, batch_idx: int) -> None:
        """Forget what earlier steps have logged: a modality without targets in this one has no loss here."""
        if self._should_log and batch_idx % self.trainer.accumulate_grad_batches == 0:
            # Lightning would write the old value again under this step.
            cast(Any, self.trainer.fit_loop.epoch_loop)._results.reset()  # noqa: SLF001

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        output: FourMOutput = self.model(batch)
        self.tokens_seen += batch.num_tokens * self.trainer.world_size
        if self._should_log:
            if not torch.isfinite(output.loss):
                raise DivergedError(
                    f"The loss is {output.loss.item()} at step {self.global_step}. Lower optim.lr, or set optim.clip."
                )
            self.log("train/loss", output.loss.detach())
            self.log_dict({f"train/{name}/loss": loss.detach() for name, loss in output.losses.items()})
            self.log("train/tokens", float(self.tokens_seen))
        return output.loss

    def validation_step(self, batch: TokenBatch, batch_idx: int) -> None:
        """The loss of one held-out batch under fixed masks, by the weights that will be used."""
        output = self.inference_model(batch)
        size = len(batch.ids)
        self.log("val/loss", output.loss, batch_size=size, sync_dist=True)
        for name, loss in output.losses.items():
            self.log(f"val/{name}/loss", loss, batch_size=output.counts[name], sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the learning rate is set before every step from the tokens seen."""
        return build_adamw(self.model, self.optim)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the learning rate that the schedule has at this many tokens, and clip the gradient."""
        lr = self.optim.lr_at(self.tokens_seen)
        for group in optimizer.param_groups:
            group["lr"] = lr
        metrics: dict[str, Any] = {"train/lr": lr}
        if self.optim.clip:
            metrics["train/grad_norm"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.optim.clip)
        if self._should_log:
            self.log_dict(metrics)

    def on_train_batch_end(self, outputs: Any, batch: TokenBatch, batch_idx: int) -> None:
        """Move the averaged weights, once for each optimizer step."""
        if self.ema_model is not None and self.global_step > int(self.ema_model.n_averaged):
            self.ema_model.update_parameters(self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the streams, the config and the tokens seen beside the weights."""
        checkpoint["fourm"] = {
            "streams": to_plain(self.streams),
            "config": to_plain(self.config),
            "tokens_seen": self.tokens_seen,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other streams or sizes.

        Raises:
            CheckpointError: The message names the difference.
        """
        saved = checkpoint.get("fourm")
        if saved is None:
            raise CheckpointError("This checkpoint is not of a 4M model.")
        ours, theirs = {s.name for s in self.streams}, {item["name"] for item in saved["streams"]}
        if ours != theirs:
            raise CheckpointError(
                f"The checkpoint is of other modalities: it has {sorted(theirs - ours) or 'none'} that this run lacks, "
                f"and lacks {sorted(ours - theirs) or 'none'}."
            )
        if saved["config"] != to_plain(self.config) or saved["streams"] != to_plain(self.streams):
            raise CheckpointError("The checkpoint is of another model size or vocabulary than this run's config.")
        self.tokens_seen = int(saved["tokens_seen"])
