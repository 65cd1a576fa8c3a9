"""Train a small tokenizer on this machine in two processes; each writes what it ended with to the folder given."""

import sys
import warnings
from pathlib import Path

import torch
from lightning import Trainer
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.optim import TokenizerOptimConfig
from lightning_modules.tokenizer import TokenizerModule
from modalities.layouts import Dense
from modalities.tokenizer_specs import ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.config import TokenizerConfig

TASK = TokenizerTask(
    name="depth",
    layout=Dense(channels=1, size=16, patch=4),
    tokenizer=ViTVQ(name="depth", vocab_size=32, loss=ReconstructionLoss.mse),
)


def main(folder: Path) -> None:
    """Fit for 12 steps, validating at the end."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(48, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3))
    module = TokenizerModule(TASK, TokenizerConfig.nano(), TokenizerOptimConfig.nano(steps=12))
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_steps=12,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, DataLoader(data, batch_size=4, shuffle=True), DataLoader(data, batch_size=4))
    assert module.usage is not None
    ended = {
        "weights": module.tokenizer.state_dict(),
        "counts": module.usage.perplexity,
    }
    torch.save(ended, folder / f"{trainer.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
