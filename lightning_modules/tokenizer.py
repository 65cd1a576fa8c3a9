"""Training of one learnt tokenizer. The arithmetic is in `networks.tokenizers`; files are `tokenizer_folder`'s."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lightning_modules.checkpoints.tokenizer import find_differences, tokenizer_config_dict
from modalities.errors import CheckpointError, ConfigError
from modalities.tokenizer_specs import ProductMLP, TokenizerTask
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.tokenizer import CodebookUsage, Tokenizer, codebook_usage_from_counts
from networks.tokenizers.vq import Codebook

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TokenizerOptimConfig:
    """AdamW with linear warm-up, then cosine decay to zero; the defaults are the published ones at batch 256."""

    lr: float = 1e-4
    """Peak learning rate. The papers multiply theirs by the whole batch over 256."""
    product_lr: float | None = None
    """Peak learning rate of product codes, which collapse at rates that suit other codebooks; None takes `lr`."""
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    """Largest norm of the gradient; 0 leaves gradients as they are."""
    steps: int = 100_000
    """Optimizer steps from start to end of the schedule."""
    warmup_steps: int = 5_000
    """Optimizer steps until the peak."""
    ema_decay: float = 0.99
    """Share of the old value that an averaged weight keeps at each step; 0 trains without averaging."""
    seed: int = 0
    """Seed of what training draws: product codes, noise, new codes for unused ones."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"tokenizer_optim.lr must be positive, got {self.lr}")
        if self.product_lr is not None and self.product_lr <= 0:
            raise ConfigError(f"tokenizer_optim.product_lr must be positive, got {self.product_lr}")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ConfigError(f"tokenizer_optim.warmup_steps must lie in 0..{self.steps}, got {self.warmup_steps}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"tokenizer_optim.ema_decay must lie in 0..1, 1 excluded, got {self.ema_decay}")

    @classmethod
    def nano(cls, steps: int = 800) -> "TokenizerOptimConfig":
        """The settings that go with `TokenizerConfig.nano` and a batch of 16."""
        return cls(
            lr=8e-3,
            product_lr=1e-3,
            betas=(0.9, 0.95),
            steps=steps,
            warmup_steps=steps // 20,
            weight_decay=0.0,
            ema_decay=0.95,
        )

    def lr_factor(self, step: int) -> float:
        """Learning rate at ``step`` over the peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class TokenizerModule(LightningModule):
    """Trains one tokenizer. A batch is a tensor as `Tokenizer` reads it, alone or first in a list."""

    code_counts: Tensor

    def __init__(self, task: TokenizerTask, config: TokenizerConfig, optim: TokenizerOptimConfig) -> None:
        super().__init__()
        self.task, self.config, self.optim = task, config, optim
        self.tokenizer = build_tokenizer(task, config)
        self.ema_model: AveragedModel | None = None
        if optim.ema_decay:
            # Buffers are copied, not averaged: the codebook is an average already.
            averaging = get_ema_multi_avg_fn(optim.ema_decay)
            self.ema_model = AveragedModel(self.tokenizer, multi_avg_fn=averaging).requires_grad_(requires_grad=False)
        self.usage: CodebookUsage | None = None
        """How validation data used the codebook, once there was a validation."""
        self.register_buffer("code_counts", torch.zeros(task.tokenizer.vocab_size, dtype=torch.int64), persistent=False)

    @property
    def inference_tokenizer(self) -> Tokenizer:
        """The tokenizer to be used after training, by `eval()`: the averaged weights where there are any."""
        return self.tokenizer if self.ema_model is None else cast(Tokenizer, self.ema_model.module)

    def setup(self, stage: str) -> None:
        """Share codebooks between processes, now that they know of each other."""
        if self.trainer.world_size > 1:
            for module in self.tokenizer.modules():
                if isinstance(module, Codebook):
                    module.synchronize()

    def training_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch."""
        output = self.tokenizer.loss(_batch_values(batch), self._step_generator())
        if self.global_step % cast(Any, self.trainer).log_every_n_steps == 0:
            usage = codebook_usage_from_counts(
                torch.bincount(output.ids.flatten(), minlength=self.tokenizer.vocab_size)
            )
            self.log_dict(
                {
                    "train/loss": output.loss.detach(),
                    "train/reconstruction_loss": output.reconstruction_loss,
                    "train/commitment": output.commitment,
                    "train/perplexity": usage.perplexity,
                    "train/code_usage": usage.used,
                }
            )
        return output.loss

    def validation_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> None:
        """Reconstruction loss and codes of one held-out batch, by the weights that will be used."""
        values = _batch_values(batch)
        output = self.inference_tokenizer.loss(values, torch.Generator(self.device).manual_seed(batch_idx))
        self.code_counts += torch.bincount(output.ids.flatten(), minlength=self.code_counts.numel())
        self.log("val/reconstruction_loss", output.reconstruction_loss, sync_dist=True, batch_size=len(values))

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation's codes."""
        self.code_counts.zero_()

    def on_validation_epoch_end(self) -> None:
        """Tell how evenly the codebook was used, and warn where it was hardly used."""
        counts = self.code_counts
        if self.trainer.world_size > 1:
            counts = cast(Tensor, self.trainer.strategy.reduce(counts.clone(), reduce_op="sum"))
        self.usage = codebook_usage_from_counts(counts)
        self.log_dict({"val/perplexity": self.usage.perplexity, "val/code_usage": self.usage.used}, rank_zero_only=True)
        if self.usage.is_collapsed and not self.trainer.sanity_checking:
            log.warning(
                "Tokenizer %r uses %.1f %% of its %d codes: fewer codes would do, or the codebook has collapsed.",
                self.task.name,
                100 * self.usage.used,
                self.tokenizer.vocab_size,
            )

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Average the weights after each optimizer step."""
        if self.ema_model is not None and self.global_step > int(self.ema_model.n_averaged):
            self.ema_model.update_parameters(self.tokenizer)

    def on_train_end(self) -> None:
        """Average in the last step, which no gradient follows."""
        if self.ema_model is not None and self.global_step > int(self.ema_model.n_averaged):
            self.ema_model.update_parameters(self.tokenizer)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW and its schedule; weights that scale or shift one channel do not decay."""
        weights = [weight for weight in self.tokenizer.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": self.optim.weight_decay},
            {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self._peak_lr, betas=self.optim.betas)
        # A plain function stays out of checkpoints, which a bound method does not.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.optim.lr_factor(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the config says, unless the Trainer says otherwise."""
        self.clip_gradients(
            optimizer,
            gradient_clip_val=gradient_clip_val or self.optim.clip,
            gradient_clip_algorithm=gradient_clip_algorithm or "norm",
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint which tokenizer it is of."""
        checkpoint["tokenizer"] = tokenizer_config_dict(self.task, self.config)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another tokenizer.

        Raises:
            CheckpointError: It is of another task, or of other sizes; the message names the difference.
        """
        mismatches = find_differences(tokenizer_config_dict(self.task, self.config), checkpoint.get("tokenizer", {}))
        if mismatches:
            raise CheckpointError(
                f"The checkpoint is not of this tokenizer {self.task.name!r}: {'; '.join(mismatches)}."
            )

    @property
    def _peak_lr(self) -> float:
        """The peak learning rate of this kind of tokenizer."""
        is_product = isinstance(self.task.tokenizer, ProductMLP)
        return (is_product and self.optim.product_lr) or self.optim.lr

    def _step_generator(self) -> torch.Generator:
        """The stream of this step and process, the same whether or not training was interrupted before."""
        seed_sequence = np.random.SeedSequence((self.optim.seed, self.global_rank, self.global_step))
        return torch.Generator(self.device).manual_seed(int(seed_sequence.generate_state(1)[0]))


def _batch_values(batch: Tensor | Sequence[Tensor]) -> Tensor:
    return batch if isinstance(batch, Tensor) else batch[0]
