"""The tracker: a protocol of runs with parameters, metrics and files. No tracking service is known here."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from lightning_modules.callbacks.data_wait import DATA_WAIT


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """One run of a tracker, as another process finds it."""

    uri: str
    """Tracking URI, which says which tracker it is."""
    run_id: str


class Tracker(ABC):
    """Keeps runs with their parameters, metrics and files."""

    uri: str
    """Tracking URI, by which other processes connect."""

    @abstractmethod
    def start_run(
        self,
        name: str,
        *,
        parent_run: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str | None:
        """Open a run and give its id; None from a tracker that keeps nothing."""

    @abstractmethod
    def finish_run(self, run_id: str | None, *, failed: bool = False) -> None:
        """Close a run."""

    @abstractmethod
    def log_points(self, run_id: str | None, points: Sequence[tuple[str, float, int]]) -> None:
        """Store metrics as (name, value, step)."""

    @abstractmethod
    def log_text(self, run_id: str | None, name: str, content: str) -> None:
        """Store a text as the file ``name``."""

    @abstractmethod
    def log_file(self, run_id: str | None, path: Path, folder: str = "") -> None:
        """Store a copy of a file, or of a folder with all that is in it, below ``folder`` of the run."""

    @abstractmethod
    def log_image(self, run_id: str | None, name: str, image: Image.Image, step: int) -> None:
        """Store a picture of a step."""

    @contextmanager
    def open_run(self, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> Iterator[str | None]:
        """Open a run, and close it at the end of the block, as failed after an exception."""
        run_id = self.start_run(name, tags=tags, params=params)
        failed = True
        try:
            yield run_id
            failed = False
        finally:
            self.finish_run(run_id, failed=failed)

    def log_metrics(self, run_id: str | None, values: Mapping[str, float], step: int = 0) -> None:
        """Store metrics of one step."""
        self.log_points(run_id, [(name, value, step) for name, value in values.items()])


class NullTracker(Tracker):
    """Keeps nothing: results are the report and the files on disk."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def start_run(self, name: str, **_: Any) -> None:
        """Open no run."""

    def finish_run(self, run_id: str | None, *, failed: bool = False) -> None:
        """Close nothing."""

    def log_points(self, run_id: str | None, points: Sequence[tuple[str, float, int]]) -> None:
        """Store nothing."""

    def log_text(self, run_id: str | None, name: str, content: str) -> None:
        """Store nothing."""

    def log_file(self, run_id: str | None, path: Path, folder: str = "") -> None:
        """Store nothing."""

    def log_image(self, run_id: str | None, name: str, image: Image.Image, step: int) -> None:
        """Store nothing."""


class RunLogger(Logger):
    """Lightning logger of one run: writes a few dozen metrics at a time, and keeps all that a second run repeats."""

    def __init__(self, tracker: Tracker | None, run_id: str | None) -> None:
        """Log into a tracker's run; without a tracker, metrics are only kept."""
        super().__init__()
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._buffer: list[tuple[str, float, int]] = []
        self._tracker, self._run_id = tracker, run_id
        self._last_write = time.monotonic()

    @property
    def name(self) -> str:
        """The logger's name."""
        return "fourm"

    @property
    def version(self) -> str:
        """The run."""
        return self._run_id or "none"

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Store nothing: the launcher has stored the config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep metrics, and write them when there are many or some are old."""
        for name, value in metrics.items():
            if name == "epoch":
                continue
            self._buffer.append((name, float(value), step or 0))
            if name != DATA_WAIT:
                self.history.setdefault(name, []).append((step or 0, float(value)))
        if len(self._buffer) > 400 or time.monotonic() - self._last_write > 10:
            self._write()

    @rank_zero_only
    def restore(self, history: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Take over the metrics from before an interruption, which another run of the tracker holds."""
        self.history = {name: list(points) for name, points in history.items()}
        self._buffer = [(name, value, step) for name, points in self.history.items() for step, value in points]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the metrics that are left."""
        self._write()

    def _write(self) -> None:
        if self._tracker is not None and self._buffer:
            self._tracker.log_points(self._run_id, self._buffer)
        self._buffer, self._last_write = [], time.monotonic()
