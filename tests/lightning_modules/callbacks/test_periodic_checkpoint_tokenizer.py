"""A tokenizer's training that is cut off between any two steps goes on as if it had not been, of every kind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks.periodic_checkpoint import AtomicCheckpointIO, PeriodicCheckpoint, read_checkpoint
from lightning_modules.data.loading import RowDataModule
from lightning_modules.optim import TokenizerOptimConfig
from lightning_modules.tokenizer import TokenizerModule
from modalities.layouts import Dense, Vector
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.config import CodebookKind, DecoderKind, TokenizerConfig

STEPS = 13
IMAGE = TokenizerTask(
    name="depth",
    layout=Dense(channels=1, size=16, patch=4),
    tokenizer=ViTVQ(name="depth", vocab_size=32, loss=ReconstructionLoss.mse),
)
VECTOR = TokenizerTask(
    name="poses",
    layout=Vector(channels=9, num_tokens=8),
    tokenizer=ProductMLP(name="poses", vocab_size=16, loss=ReconstructionLoss.smooth_l1),
)
KINDS: dict[str, tuple[TokenizerTask, dict[str, Any]]] = {
    "codes from k-means": (IMAGE, {}),
    "cosine codes": (IMAGE, {"codebook": CodebookKind.cosine, "kmeans_init": False}),
    "diffusion decoder": (IMAGE, {"decoder": DecoderKind.diffusion}),
    "product codes": (VECTOR, {}),
}


class CutError(Exception):
    """The end of a process."""


class Stop(Callback):
    """Ends the process in the middle of a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """End, if it is time."""
        if trainer.global_step == self._step:
            raise CutError


def module(kind: str, ema_decay: float) -> TokenizerModule:
    torch.manual_seed(0)
    task, changes = KINDS[kind]
    config = replace(TokenizerConfig.nano(), **changes)
    return TokenizerModule(
        task, config, TokenizerOptimConfig(lr=1e-2, steps=STEPS, warmup_steps=3, ema_decay=ema_decay)
    )


def rows(kind: str) -> Tensor:
    shape = (1, 16, 16) if KINDS[kind][0] is IMAGE else (9,)
    return torch.randn(42, *shape, generator=torch.Generator().manual_seed(0))


def fit(made: TokenizerModule, kind: str, place: Path, *others: Callback, found: dict[str, Any] | None = None) -> None:
    """Train in epochs of five steps, with a checkpoint after each step."""
    trainer = Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        log_every_n_steps=2,
        callbacks=[PeriodicCheckpoint(place, "mine", 1e-9, dict), *others],
        plugins=AtomicCheckpointIO(print, found),
    )
    trainer.fit(made, datamodule=RowDataModule(rows(kind), 8, seed=3), ckpt_path="read already" if found else None)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`")
@pytest.mark.parametrize("ema_decay", [0.0, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_that_is_cut_off_ends_as_one_that_is_not(kind: str, ema_decay: float, tmp_path: Path) -> None:
    whole = module(kind, ema_decay)
    begin = {name: value.clone() for name, value in whole.state_dict().items()}
    fit(whole, kind, tmp_path / "whole.ckpt")
    assert any(not torch.equal(begin[name], value) for name, value in whole.state_dict().items())
    # In the middle of an epoch, at its end and at the beginning of the next.
    for stop in (1, 5, 6, 12):
        place = tmp_path / f"{stop}.ckpt"
        with pytest.raises(CutError):
            fit(module(kind, ema_decay), kind, place, Stop(stop))
        resumed = module(kind, ema_decay)
        found = read_checkpoint(place, "mine", resumed)
        assert found["global_step"] == stop
        fit(resumed, kind, place, found=found)
        for name, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], value), (stop, name)
