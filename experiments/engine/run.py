"""One run of a plan: makes the record of each stage, and runs those that are missing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightning import Callback

from experiments.engine.manifest import PeakMemoryMonitor, run_manifest
from experiments.engine.observer import RunObserver
from experiments.engine.recorder import RunRecorder
from experiments.engine.scheduler import run_plan
from experiments.engine.task import choose_executor
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.context import RunInfo, StageContext
from experiments.stages.plan import Stage, StagePlan
from experiments.tracker import TrackedRun, Tracker
from modalities.registry import Registry


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A plan with everything that its stages are run with."""

    config: ExperimentConfig
    plan: StagePlan
    registry: Registry
    callbacks: Sequence[Callback]
    started_at: float
    """Time in seconds since the epoch."""
    reused: tuple[str, ...]
    """Stages whose results were there before the run."""

    def task(
        self, stage: Stage, tracked_run: TrackedRun | None = None, manifest: Mapping[str, str] | None = None
    ) -> StageContext:
        """Make the record of a stage."""
        return StageContext(
            config=self.config,
            stage=stage,
            inputs={name: self.plan.folder(name) for name in stage.inputs},
            folder=self.plan.folder(stage.name),
            registry=self.registry,
            callbacks=tuple(self.callbacks),
            tracked_run=tracked_run,
            run=RunInfo(started_at=self.started_at, reused=self.reused, manifest=manifest or {}),
        )


def execute(run: PlannedRun, tracker: Tracker, parent_run: str | None, observer: RunObserver) -> None:
    """Run the stages that are missing, each as a run of the tracker below ``parent_run``.

    Raises:
        UserError: A stage failed, or cannot be run in the processes that the config asks for.
    """
    plan = run.plan
    executor = choose_executor(run.config, run.registry, run.callbacks)
    earlier = {name: plan.metadata(name).get("run") for name in run.reused}
    tracker.log_text(parent_run, "reused.json", json.dumps(earlier, indent=1))
    observer.on_plan(plan, run.reused)
    manifest = run_manifest()
    with PeakMemoryMonitor() as memory:

        def make_task(stage: Stage, run_id: str | None) -> StageContext:
            entries = {**manifest, "peak memory": f"{memory.peak / 2**30:.2f} GiB"}
            return run.task(stage, TrackedRun(uri=tracker.uri, run_id=run_id) if run_id else None, entries)

        recorder = RunRecorder(tracker=tracker, parent_run=parent_run, plan=plan, observer=observer)
        run_plan(plan, make_task, recorder, executor)
