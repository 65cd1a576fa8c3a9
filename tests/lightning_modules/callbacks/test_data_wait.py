"""The share of the time that a training waits for batches, against a loader whose waits are known."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import Dataset

from lightning_modules.callbacks import data_wait
from lightning_modules.callbacks.data_wait import DATA_WAIT, DataWait
from lightning_modules.data.prefetch import TimedDataLoader


class Ones(Dataset[Tensor]):
    def __getitem__(self, number: Any) -> Tensor:
        return torch.ones(1)


class Metrics(Logger):
    """Keeps the shares by step."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[int, float] = {}

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return "0"

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if DATA_WAIT in metrics and step is not None:
            self.shares[step] = metrics[DATA_WAIT]


class Slope(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_share_of_each_interval_is_logged_under_its_last_step(
    accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each look at the clocks finds ten seconds more, of which 1, then 2, then 3 were waited.
    times = iter(zip(itertools.count(0.0, 10.0), itertools.accumulate(range(100))))
    monkeypatch.setattr(data_wait, "_now", lambda trainer: next(times))
    metrics, callback = Metrics(), DataWait()
    trainer = Trainer(
        max_steps=7,
        accelerator="cpu",
        logger=metrics,
        log_every_n_steps=2,
        accumulate_grad_batches=accumulate,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    loader: TimedDataLoader[Tensor] = TimedDataLoader(Ones(), batch_size=None, sampler=range(100))
    trainer.fit(Slope(), loader)
    assert metrics.shares == {1: pytest.approx(0.1), 3: pytest.approx(0.2), 5: pytest.approx(0.3)}
    assert callback.share == pytest.approx(0.2)


def test_a_training_waits_for_its_loader_and_no_longer_than_it_takes(tmp_path: Path) -> None:
    loader: TimedDataLoader[Tensor] = TimedDataLoader(Ones(), batch_size=None, sampler=range(8))
    callback = DataWait()
    trainer = Trainer(
        max_steps=8,
        accelerator="cpu",
        logger=False,
        log_every_n_steps=2,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Slope(), loader)
    assert 0 < callback.share < 1
