"""How far a run is, how fast, and when pictures are drawn."""

from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_modules.callbacks import progress as callbacks
from lightning_modules.callbacks.pictures import PredictionImageCallback
from lightning_modules.callbacks.progress import ProgressReporter


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


def at_start(max_steps: int, *, world_size: int = 1, accumulate: int = 1, is_first: bool = True) -> Mock:
    """What callbacks ask of a Trainer."""
    return Mock(
        spec=Trainer,
        global_step=0,
        max_steps=max_steps,
        world_size=world_size,
        accumulate_grad_batches=accumulate,
        is_global_zero=is_first,
    )


class Plain(LightningModule):
    """Trains nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Anything."""
        return self.weight * batch.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the callbacks' clock."""
    made = Clock()
    monkeypatch.setattr(callbacks, "time", made)
    return made


def end(callback: ProgressReporter | PredictionImageCallback, trainer: Mock) -> None:
    """A batch has ended."""
    callback.on_train_batch_end(trainer, Plain(), None, None, 0)


def test_the_share_and_the_rate(clock: Clock) -> None:
    said: list[tuple[float, float, str]] = []
    reporter = ProgressReporter(lambda *told: said.append(told), "samples", 8)
    trainer = at_start(40)
    reporter.on_train_start(trainer, Plain())
    clock.now, trainer.global_step = 102.0, 10
    end(reporter, trainer)
    assert said == [(0.25, 10 * 8 / 2.0, "samples")]


def test_all_ranks_and_accumulated_batches_count(clock: Clock) -> None:
    said: list[tuple[float, float, str]] = []
    reporter = ProgressReporter(lambda *told: said.append(told), "samples", 8)
    trainer = at_start(40, world_size=3, accumulate=2)
    reporter.on_train_start(trainer, Plain())
    clock.now, trainer.global_step = 104.0, 20
    end(reporter, trainer)
    assert said == [(0.5, 20 * 8 * 3 * 2 / 4.0, "samples")]


def test_steps_of_an_earlier_run_are_in_the_share_and_not_in_the_rate(clock: Clock) -> None:
    said: list[tuple[float, float, str]] = []
    reporter = ProgressReporter(lambda *told: said.append(told), "images", 1)
    trainer = at_start(100)
    trainer.global_step = 50
    reporter.on_train_start(trainer, Plain())
    clock.now, trainer.global_step = 105.0, 60
    end(reporter, trainer)
    assert said == [(0.6, 2.0, "images")]


def test_it_speaks_at_most_twice_a_second(clock: Clock) -> None:
    said: list[float] = []
    reporter = ProgressReporter(lambda share, rate, unit: said.append(share), "images", 1)
    trainer = at_start(100)
    reporter.on_train_start(trainer, Plain())
    for step in range(1, 9):
        clock.now, trainer.global_step = 100.0 + step / 4, step
        end(reporter, trainer)
    assert said == [0.01, 0.03, 0.05, 0.07]


def test_only_the_first_rank_speaks_and_draws(clock: Clock) -> None:
    said: list[Any] = []
    trainer = at_start(2, is_first=False)
    reporter = ProgressReporter(lambda *told: said.append(told), "images", 1)
    reporter.on_train_start(trainer, Plain())
    clock.now, trainer.global_step = 200.0, 2
    end(reporter, trainer)
    end(PredictionImageCallback(1, lambda module, step: said.append(step)), trainer)
    assert said == []


@pytest.mark.parametrize(
    ("steps", "every", "accumulate", "expected"),
    [
        (7, 3, 1, [3, 6, 7]),
        (6, 3, 1, [3, 6]),  # The end is drawn once.
        (5, 100, 1, [5]),
        (4, 2, 3, [2, 4]),  # Batches that are still being accumulated draw nothing.
    ],
)
def test_pictures_are_drawn_every_so_often_and_at_the_end(
    steps: int, every: int, accumulate: int, expected: list[int], tmp_path: Path
) -> None:
    drawn: list[int] = []
    module = Plain()

    def paint(given: LightningModule, step: int) -> None:
        assert given is module
        drawn.append(step)

    trainer = Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[PredictionImageCallback(every, paint)],
    )
    trainer.fit(module, DataLoader(cast(Any, torch.ones(steps * accumulate, 1))))
    assert drawn == expected
