"""The interface to whoever watches a run: a terminal, a notebook, a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from experiments.stages.plan import Stage, StagePlan


@dataclass(kw_only=True)
class StageProgress:
    """Progress of one running stage."""

    stage: Stage
    started_at: float
    """Time in seconds since the epoch."""
    fraction: float = 0.0
    """Part that is done, 0..1."""
    rate: float = 0.0
    """Units per second; 0 if unknown."""
    unit: str = ""


@runtime_checkable
class RunObserver(Protocol):
    """Receives the events of a run, in the process that started it."""

    def on_plan(self, plan: StagePlan, reused: Sequence[str]) -> None:
        """Called once before anything runs, with the names of the stages whose results are there."""
        ...

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Called on any progress, with the running stages and the count of finished ones."""
        ...

    def on_stage_end(self, stage: Stage, seconds: float, error: str | None) -> None:
        """Called when a stage has ended; ``error`` says why it failed or was stopped."""
        ...


class SilentObserver:
    """Ignores every event."""

    def on_plan(self, plan: StagePlan, reused: Sequence[str]) -> None:
        """Do nothing."""

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Do nothing."""

    def on_stage_end(self, stage: Stage, seconds: float, error: str | None) -> None:
        """Do nothing."""
