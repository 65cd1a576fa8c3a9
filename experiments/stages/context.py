"""The record of one stage to run: the settings, the folders that it may read, and the folder that it writes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lightning import Callback

from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities
from experiments.stages.plan import Stage
from experiments.tracker import TrackedRun
from modalities.registry import Registry, default_registry
from modalities.spec import Modality

ProgressCallback = Callable[[float, float, str], None]
"""Takes the fraction done, the rate per second, and the rate's unit."""

user_log = logging.getLogger("fourm.user")
"""Events that a person at the terminal should hear of, in whichever process they happen."""


def ignore_progress(fraction: float, rate: float, unit: str) -> None:
    """A progress callback that does nothing."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The run that a stage belongs to, as the report shows it; it decides no result."""

    started_at: float = 0.0
    """Time when the run started, in seconds since the epoch."""
    reused: tuple[str, ...] = ()
    """Names of the stages whose results were there already."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Command, versions, commit, hardware and memory, in words."""


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """One stage to run, with all that it may read; picklable, so that any process can run it."""

    config: ExperimentConfig
    stage: Stage
    inputs: Mapping[str, Path]
    """Folders of its inputs, by stage name."""
    folder: Path
    """The folder to write. The engine gives a temporary one, which it renames when the stage is done."""
    registry: Registry = field(default_factory=default_registry)
    """The installed modalities, and those that were added by hand."""
    tracked_run: TrackedRun | None = None
    callbacks: Sequence[Callback] = ()
    """Lightning callbacks of the person who started the run, for the Trainers of models."""
    run: RunInfo = field(default_factory=RunInfo)
    report_progress: ProgressCallback = ignore_progress
    item: int | None = None
    """The work item to do; None for the stage itself, behind its items."""
    failed_items: Mapping[int, str] = field(default_factory=dict)
    """Items that the stage continues without, and why they failed."""
    started_at: float | None = None
    """Time when the first item started, in seconds since the epoch; None for the time of the call."""

    @cached_property
    def modalities(self) -> dict[str, Modality]:
        """Modalities of all arms, at the run's scale."""
        return build_modalities(self.config, self.registry)

    @property
    def columns_folder(self) -> Path:
        """The folder of all shards' columns, which lies beside the stages' folders and is shared by them."""
        return self.folder.parent / "columns"
