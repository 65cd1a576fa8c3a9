"""Runs the stages of a plan that are not done yet: several at once, each when its inputs are done.

A stage writes to a temporary folder, which takes its final place when the stage has ended well: after an interruption,
the next run resumes from complete results, and a training from its checkpoint.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from experiments.engine.launch import run_task
from experiments.engine.observer import StageProgress
from experiments.engine.task import StageError, failure_log_path
from experiments.engine.workers import Worker, poll_workers, start_workers, stop_workers
from experiments.schema.sections import ExecutorConfig
from experiments.stages.context import StageContext, user_log
from experiments.stages.plan import Stage, StagePlan
from modalities.errors import UserError

TaskFactory = Callable[[Stage, str | None], StageContext]
"""Makes the record of a stage to run, given the stage and its run in the tracker."""


@runtime_checkable
class RunListener(Protocol):
    """Receives the scheduler's events, and opens a run of the tracker for each stage."""

    def on_stage_start(self, stage: Stage) -> str | None:
        """Called when a stage starts; answers with its run in the tracker, if there is one."""
        ...

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Called on any progress."""
        ...

    def on_stage_end(self, stage: Stage, folder: Path, run_id: str | None, error: str | None) -> None:
        """Called when a stage has ended; ``error`` says why it failed or was stopped."""
        ...


@dataclass(kw_only=True)
class _Scheduler:
    """State of a run: the stages that are done, running and waiting, and the listener."""

    plan: StagePlan
    make_task: TaskFactory
    listener: RunListener
    pending: dict[str, Stage]
    done: set[str]
    running: dict[str, StageProgress] = field(default_factory=dict)
    run_ids: dict[str, str | None] = field(default_factory=dict)

    def next_ready(self) -> Stage | None:
        """The stage of the highest cost among those whose inputs are done."""
        stages = [stage for stage in self.pending.values() if self.done.issuperset(stage.inputs)]
        return max(stages, key=lambda stage: stage.cost, default=None)

    def start(self, stage: Stage) -> StageContext:
        """Take a stage from the waiting ones, and make its task."""
        del self.pending[stage.name]
        run_id = self.run_ids[stage.name] = self.listener.on_stage_start(stage)
        self.running[stage.name] = StageProgress(stage=stage, started_at=time.time())
        return self.make_task(stage, run_id)

    def progress(self, stage: Stage, fraction: float, rate: float, unit: str) -> None:
        """Note the progress of a running stage."""
        item = self.running[stage.name]
        item.fraction, item.rate, item.unit = fraction, rate, unit

    def notify(self) -> None:
        """Tell the listener how far the run is."""
        self.listener.on_progress(self.running, len(self.done), len(self.plan.stages))

    def end(self, stage: Stage, error: str | None = None) -> None:
        """Note the end of a stage."""
        self.running.pop(stage.name, None)
        if error is None:
            self.done.add(stage.name)
        self.listener.on_stage_end(stage, self.plan.folder(stage.name), self.run_ids[stage.name], error)


def run_plan(plan: StagePlan, make_task: TaskFactory, listener: RunListener, executor: ExecutorConfig) -> None:
    """Run the stages that are not done yet.

    Raises:
        UserError: A stage failed; the others are stopped, and what they had not finished is made anew next time.
    """
    plan.remove_incomplete()
    done = {name for name in plan.stages if plan.is_done(name)}
    pending = {name: stage for name, stage in plan.stages.items() if name not in done}
    scheduler = _Scheduler(plan=plan, make_task=make_task, listener=listener, pending=pending, done=done)
    scheduler.notify()
    if not pending:
        return
    if executor.workers == 0:
        _run_in_process(scheduler)
        return
    workers = start_workers(min(executor.workers, len(pending)), threads_per_worker(executor))
    try:
        _run_in_workers(scheduler, workers)
    finally:
        stop_workers(workers)
        for worker in workers:
            if worker.task is not None:
                scheduler.end(worker.task.stage, "stopped before its end")


def threads_per_worker(executor: ExecutorConfig) -> int:
    """Threads of each worker: the setting, or an equal share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return executor.threads or max(1, cores // max(1, executor.workers))


def _run_in_process(scheduler: _Scheduler) -> None:
    while (stage := scheduler.next_ready()) is not None:

        def report_progress(fraction: float, rate: float, unit: str, stage: Stage = stage) -> None:
            scheduler.progress(stage, fraction, rate, unit)
            scheduler.notify()

        try:
            run_task(replace(scheduler.start(stage), report_progress=report_progress))
        except BaseException as error:
            scheduler.end(stage, str(error))
            raise
        scheduler.end(stage)
        scheduler.notify()


def _run_in_workers(scheduler: _Scheduler, workers: list[Worker]) -> None:
    while scheduler.pending or scheduler.running:
        for worker in workers:
            stage = scheduler.next_ready() if worker.task is None else None
            if stage is not None:
                worker.assign(scheduler.start(stage))
        for worker, kind, content in poll_workers(workers):
            _handle_message(scheduler, worker, kind, content)
        scheduler.notify()


def _handle_message(scheduler: _Scheduler, worker: Worker, kind: str, content: object) -> None:
    assert worker.task is not None
    stage = worker.task.stage
    match kind:
        case "progress":
            assert isinstance(content, tuple)
            scheduler.progress(stage, *content)
            return
        case "user_log":
            user_log.warning("%s", content)
            return
    worker.task = None
    scheduler.end(stage, None if kind == "done" else str(content))
    match kind:
        case "user_error":
            raise UserError(f"{stage.name}: {content}")
        case "failed":
            log_file = failure_log_path(scheduler.plan.folder(stage.name))
            raise StageError(f"Stage {stage.name} failed: {content} Its traceback is in {log_file}.")
