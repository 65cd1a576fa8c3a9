"""Batches that are made ahead are the same ones in the same order; errors and ends arrive where they belong."""

import threading
from typing import Any

import pytest
from torch.utils.data import Dataset

from lightning_modules.data.prefetch import BATCHES_AHEAD, TimedDataLoader


class Squares(Dataset[int]):
    """Notes what was asked of it and in which thread, and fails at one number."""

    def __init__(self, failing: int = -1) -> None:
        self.asked: list[int] = []
        self.threads: set[str] = set()
        self.failing = failing

    def __getitem__(self, number: Any) -> int:
        self.asked.append(number)
        self.threads.add(threading.current_thread().name)
        if number == self.failing:
            raise ValueError("no square")
        return int(number) ** 2


def loader(data: Squares, count: int, **settings: Any) -> TimedDataLoader[int]:
    return TimedDataLoader(data, batch_size=None, sampler=range(count), **settings)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_in_every_epoch(workers: int) -> None:
    loaded = loader(Squares(), 7, num_workers=workers)
    for _ in range(2):
        assert list(loaded) == [number**2 for number in range(7)]
    assert loaded.seconds_waited > 0


def test_some_batches_are_made_ahead_and_no_more() -> None:
    data = Squares()
    batches = iter(loader(data, 100))
    assert next(batches) == 0
    batches.close()
    # One more may be in the making when the rest is full.
    assert data.asked == list(range(len(data.asked)))
    assert len(data.asked) <= BATCHES_AHEAD + 2
    assert data.threads == {"batches ahead"}
    assert "batches ahead" not in {thread.name for thread in threading.enumerate()}


def test_an_error_comes_behind_the_batches_before_it() -> None:
    batches = iter(loader(Squares(failing=3), 7))
    assert [next(batches) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(ValueError, match="no square"):
        next(batches)
