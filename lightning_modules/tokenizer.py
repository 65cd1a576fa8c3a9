"""Training of one learned tokenizer. The arithmetic is in `networks.tokenizers`."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.base import BaseModule, as_record
from lightning_modules.optim import TokenizerOptimConfig
from modalities.storage.serialization import find_differences
from modalities.tokenizer_specs import TokenizerTask
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.tokenizer import CodebookUsage, codebook_usage_from_counts
from networks.tokenizers.vq import Codebook

log = logging.getLogger(__name__)


class TokenizerModule(BaseModule):
    """Trains one tokenizer. A batch is a tensor as `Tokenizer` reads it, alone or first in a list."""

    kind: ClassVar[str] = "a tokenizer"

    def __init__(
        self,
        task: TokenizerTask | dict[str, Any],
        config: TokenizerConfig | dict[str, Any],
        optim: TokenizerOptimConfig | dict[str, Any],
    ) -> None:
        """Build the tokenizer."""
        super().__init__(task=task, config=config, optim=optim)
        self.task, self.config = as_record(TokenizerTask, task), as_record(TokenizerConfig, config)
        self.optim: TokenizerOptimConfig = as_record(TokenizerOptimConfig, optim)
        self.tokenizer = build_tokenizer(self.task, self.config)
        self.usage: CodebookUsage | None = None
        """Codebook usage on validation data; None before the first validation."""
        self._code_counts = torch.zeros(0, dtype=torch.int64)

    @property
    def network(self) -> nn.Module:
        """The tokenizer."""
        return self.tokenizer

    @property
    def schedule_position(self) -> float:
        """Optimizer steps taken."""
        return self.global_step

    def named_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The weights, their names prefixed with the tokenizer's kind and name."""
        return self.tokenizer.named_parameters(prefix=f"{self.task.tokenizer.type_tag}.{self.task.name}")

    def setup(self, stage: str) -> None:
        """Synchronize codebooks between processes, if there are several."""
        if self.trainer.world_size > 1:
            for module in self.tokenizer.modules():
                if isinstance(module, Codebook):
                    module.synchronize()

    def training_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch."""
        output = self.tokenizer.loss(_batch_values(batch), self._step_generator())
        if self.should_log:
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
        """Reconstruction loss and codes of one held-out batch, with averaged weights if the config averages."""
        values = _batch_values(batch)
        output = self.tokenizer.loss(values, torch.Generator(self.device).manual_seed(batch_idx))
        self._code_counts += torch.bincount(output.ids.flatten(), minlength=self._code_counts.numel())
        self.log("val/reconstruction_loss", output.reconstruction_loss, sync_dist=True, batch_size=len(values))

    def on_validation_epoch_start(self) -> None:
        """Reset the counts of codes. They are no buffer, as averaging exchanges buffers around a validation."""
        self._code_counts = torch.zeros(self.tokenizer.vocab_size, dtype=torch.int64, device=self.device)

    def on_validation_epoch_end(self) -> None:
        """Log codebook usage, and warn of a codebook that has collapsed."""
        counts = self._code_counts
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

    def describe_differences(self, expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
        """The settings that differ; the modalities that share the tokenizer do not count."""
        return find_differences(expected, found, ignored=("members",))

    def _step_generator(self) -> torch.Generator:
        """The generator of this step and process, the same whether or not training was interrupted before."""
        seed_sequence = np.random.SeedSequence((self.optim.seed, self.global_rank, self.global_step))
        return torch.Generator(self.device).manual_seed(int(seed_sequence.generate_state(1)[0]))


def _batch_values(batch: Tensor | Sequence[Tensor]) -> Tensor:
    return batch if isinstance(batch, Tensor) else batch[0]
