"""Runs the stages of a plan that are not done yet: several at once, each when its inputs are done.

A stage writes to a temporary folder, which takes its final place when the stage has ended well: after an interruption,
the next run resumes from complete results, and a training from its checkpoint. A stage of work items is done by all
processes together.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from experiments.engine.items import ItemQueue
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
    item_queues: dict[str, ItemQueue] = field(default_factory=dict)
    """Work items of the running stages that have some."""

    def next_task(self) -> StageContext | None:
        """The task of the highest cost: an item of a running stage, or a stage whose inputs are done."""
        queues = [queue for queue in self.item_queues.values() if queue.has_next]
        stages = [stage for stage in self.pending.values() if self.done.issuperset(stage.inputs)]
        queue = max(queues, key=lambda queue: queue.cost_left, default=None)
        stage = max(stages, key=lambda stage: stage.cost, default=None)
        if queue is not None and (stage is None or queue.cost_left >= stage.cost):
            return queue.next_task()
        return None if stage is None else self._start(stage)

    def progress(self, task: StageContext, fraction: float, rate: float, unit: str) -> None:
        """Note the progress of a running task."""
        progress = self.running[task.stage.name]
        if task.item is None:
            progress.fraction, progress.rate, progress.unit = fraction, rate, unit
        else:
            self.item_queues[task.stage.name].report(task.item, fraction, progress)

    def notify(self) -> None:
        """Tell the listener how far the run is."""
        self.listener.on_progress(self.running, len(self.done), len(self.plan.stages))

    def finish(self, task: StageContext) -> None:
        """Note that a task has ended well."""
        if task.item is None:
            self.end(task.stage)
        else:
            self.item_queues[task.stage.name].finish(task.item, self.running[task.stage.name])

    def fail(self, task: StageContext, reason: str) -> bool:
        """Note that a task has failed; True if the run can go on without it or with another try."""
        queue = self.item_queues.get(task.stage.name)
        if task.item is not None and queue is not None and queue.fail(task.item, reason):
            return True
        self.end(task.stage, reason)
        return False

    def end(self, stage: Stage, error: str | None = None) -> None:
        """Note the end of a stage."""
        self.running.pop(stage.name, None)
        self.item_queues.pop(stage.name, None)
        if error is None:
            self.done.add(stage.name)
        self.listener.on_stage_end(stage, self.plan.folder(stage.name), self.run_ids[stage.name], error)

    def stop(self) -> None:
        """Note that the running stages are stopped."""
        for progress in list(self.running.values()):
            self.end(progress.stage, "stopped before its end")

    def _start(self, stage: Stage) -> StageContext:
        """Take a stage from the waiting ones, and make its task, or that of its first item."""
        del self.pending[stage.name]
        run_id = self.run_ids[stage.name] = self.listener.on_stage_start(stage)
        self.running[stage.name] = StageProgress(stage=stage, started_at=time.time())
        task = self.make_task(stage, run_id)
        if not stage.num_items:
            return task
        queue = self.item_queues[stage.name] = ItemQueue(replace(task, started_at=time.time()))
        return queue.next_task()


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
    num_tasks, threads = sum(max(1, stage.num_items) for stage in pending.values()), threads_per_worker(executor)
    workers = start_workers(min(executor.workers, num_tasks), threads)
    try:
        _run_in_workers(scheduler, workers, threads)
    finally:
        stop_workers(workers)
        scheduler.stop()


def threads_per_worker(executor: ExecutorConfig) -> int:
    """Threads of each worker: the setting, or an equal share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return executor.threads or max(1, cores // max(1, executor.workers))


def _run_in_process(scheduler: _Scheduler) -> None:
    while (task := scheduler.next_task()) is not None:

        def report_progress(fraction: float, rate: float, unit: str, task: StageContext = task) -> None:
            scheduler.progress(task, fraction, rate, unit)
            scheduler.notify()

        try:
            run_task(replace(task, report_progress=report_progress))
        except Exception as error:
            if not scheduler.fail(task, str(error)):
                if task.item is not None and isinstance(error, UserError):
                    raise UserError(f"{_task_name(task)}: {error}") from error
                raise
        except BaseException as error:
            scheduler.end(task.stage, str(error))
            raise
        else:
            scheduler.finish(task)
        scheduler.notify()


def _run_in_workers(scheduler: _Scheduler, workers: list[Worker], threads: int) -> None:
    while scheduler.pending or scheduler.running:
        for worker in workers:
            task = scheduler.next_task() if worker.task is None else None
            if task is not None:
                worker.assign(task)
        for worker, kind, content in poll_workers(workers):
            _handle_message(scheduler, worker, kind, content)
            if kind == "lost":
                # Its stage or item is done again by a process of its own kind.
                workers[workers.index(worker)] = start_workers(1, threads)[0]
                worker.pipe.close()
        scheduler.notify()


def _handle_message(scheduler: _Scheduler, worker: Worker, kind: str, content: object) -> None:
    task = worker.task
    assert task is not None
    match kind:
        case "progress":
            assert isinstance(content, tuple)
            scheduler.progress(task, *content)
            return
        case "user_log":
            user_log.warning("%s", content)
            return
    worker.task = None
    if kind == "done":
        scheduler.finish(task)
        return
    if scheduler.fail(task, str(content)):
        return
    name = _task_name(task)
    match kind:
        case "user_error":
            raise UserError(f"{name}: {content}")
        case "lost":
            raise StageError(f"Stage {name} is lost: {content}")
        case "failed":
            log_file = failure_log_path(scheduler.plan.folder(task.stage.name))
            raise StageError(f"Stage {name} failed: {content} Its traceback is in {log_file}.")


def _task_name(task: StageContext) -> str:
    return task.stage.name if task.item is None else f"{task.stage.name}, shard {task.item}"
