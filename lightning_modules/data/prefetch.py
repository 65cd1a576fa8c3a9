"""A data loader that makes batches ahead of the model, and measures how long the model waits for them."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar

from torch.utils.data import DataLoader

T = TypeVar("T")

BATCHES_AHEAD = 2
"""Batches that a loader without worker processes makes ahead, in a thread."""

_POLL_SECONDS = 0.1


class TimedDataLoader(DataLoader[T]):
    """A loader whose batches are made ahead, in its worker processes or else in a thread of this process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seconds_waited = 0.0
        """Time that whoever iterates has waited for batches so far."""

    def __iter__(self) -> Any:
        batches = super().__iter__()
        return self._timed(batches if self.num_workers else _iterate_ahead(batches, BATCHES_AHEAD))

    def _timed(self, batches: Iterator[T]) -> Iterator[T]:
        try:
            while True:
                start = time.perf_counter()
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                finally:
                    self.seconds_waited += time.perf_counter() - start
                yield batch
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()


def _iterate_ahead(batches: Iterator[T], count: int) -> Iterator[T]:
    """The same batches in the same order; up to ``count`` are made in a thread before they are asked for."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=count)
    is_stopped = threading.Event()

    def put(kind: str, content: Any) -> None:
        while not is_stopped.is_set():
            try:
                ready.put((kind, content), timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for batch in batches:
                put("batch", batch)
                if is_stopped.is_set():
                    return
        except BaseException as error:
            put("error", error)
        else:
            put("end", None)

    thread = threading.Thread(target=make, name="batches ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, content = ready.get()
            if kind == "batch":
                yield content
            elif kind == "error":
                raise content
            else:
                return
    finally:
        is_stopped.set()
        thread.join()
