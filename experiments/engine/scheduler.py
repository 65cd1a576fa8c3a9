"""Runs the stages of a plan: those that are not there yet, several at once, each when its inputs are done.

Worker processes live as long as the run, so that each imports torch once. A stage writes to a temporary folder, which
takes its place when the stage has ended well: whatever interrupts a run, the next one goes on from whole results,
and with a model in training from its checkpoint.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from experiments.engine.execution import describe_failure
from experiments.engine.launch import run_task
from experiments.engine.task import ForwardHandler, StageError, StageTask, failure_log_path, user_log
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities
from experiments.stages.plan import Stage, StagePlan
from modalities.errors import UserError
from modalities.registry import default_registry
from modalities.spec import Modality

SHUTDOWN_TIMEOUT = 30.0
"""Seconds that workers get to put things away, of which a model's checkpoint takes the longest."""


@dataclass(kw_only=True)
class StageProgress:
    """How far one running stage is."""

    stage: Stage
    started_at: float
    fraction: float = 0.0
    rate: float = 0.0
    unit: str = ""


@runtime_checkable
class RunCallback(Protocol):
    """Who wants to know how a run goes."""

    def on_stage_start(self, stage: Stage) -> str | None:
        """A stage starts; answers with the tracker run that it writes to, if there is one."""
        ...

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Something went on."""
        ...

    def on_stage_end(self, stage: Stage, folder: Path, run_id: str | None, error: str | None) -> None:
        """A stage has ended, well where there is no error."""
        ...


@dataclass(kw_only=True)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    task: StageTask | None = None
    run_id: str | None = None


@dataclass(kw_only=True)
class _SchedulerState:
    """What is done, running and waiting."""

    pending: dict[str, Stage]
    done: set[str]
    total: int
    running: dict[str, StageProgress] = field(default_factory=dict)

    def next_ready(self) -> Stage | None:
        """The longest of the stages whose inputs are done."""
        stages = [stage for stage in self.pending.values() if self.done.issuperset(stage.inputs)]
        return max(stages, key=lambda stage: stage.cost, default=None)


def run_plan(config: ExperimentConfig, plan: StagePlan, callback: RunCallback, tracking_uri: str | None = None) -> None:
    """Run what is not done yet.

    Raises:
        UserError: A stage failed; the others are stopped, and what they had not finished is made anew next time.
    """
    plan.remove_incomplete()
    done_before = {name for name in plan.stages if plan.is_done(name)}
    state = _SchedulerState(
        pending={name: stage for name, stage in plan.stages.items() if name not in done_before},
        done=done_before,
        total=len(plan.stages),
    )
    callback.on_progress(state.running, len(state.done), state.total)
    if not state.pending:
        return
    if config.executor.workers == 0:
        _run_in_process(config, plan, state, callback, tracking_uri)
        return
    workers = _start_workers(min(config.executor.workers, len(state.pending)), _threads_per_worker(config))
    try:
        while state.pending or state.running:
            for worker in workers:
                stage = state.next_ready() if worker.task is None else None
                if stage is not None:
                    _assign_task(worker, config, plan, state, callback, stage, tracking_uri)
            _poll_workers(workers, plan, state, callback)
    finally:
        _stop_workers(workers)
        for worker in workers:
            if worker.task is not None:
                stage = worker.task.stage
                callback.on_stage_end(stage, plan.folder(stage.name), worker.run_id, "stopped before its end")


def _threads_per_worker(config: ExperimentConfig) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.executor.threads or max(1, cores // max(1, config.executor.workers))


def _make_task(
    config: ExperimentConfig, plan: StagePlan, stage: Stage, run_id: str | None, tracking_uri: str | None
) -> StageTask:
    tracking = (tracking_uri, run_id) if tracking_uri is not None and run_id is not None else None
    inputs = {name: plan.folder(name) for name in stage.inputs}
    return StageTask(config=config, stage=stage, inputs=inputs, folder=plan.folder(stage.name), tracking=tracking)


def _run_in_process(
    config: ExperimentConfig, plan: StagePlan, state: _SchedulerState, callback: RunCallback, tracking_uri: str | None
) -> None:
    while (stage := state.next_ready()) is not None:
        run_id = callback.on_stage_start(stage)
        del state.pending[stage.name]
        progress = state.running[stage.name] = StageProgress(stage=stage, started_at=time.time())

        def report_progress(fraction: float, rate: float, unit: str, progress: StageProgress = progress) -> None:
            progress.fraction, progress.rate, progress.unit = fraction, rate, unit
            callback.on_progress(state.running, len(state.done), state.total)

        try:
            run_task(
                _make_task(config, plan, stage, run_id, tracking_uri),
                report_progress,
                build_modalities(config, default_registry()),
            )
        except BaseException as error:
            callback.on_stage_end(stage, plan.folder(stage.name), run_id, str(error))
            raise
        del state.running[stage.name]
        state.done.add(stage.name)
        callback.on_stage_end(stage, plan.folder(stage.name), run_id, None)
        callback.on_progress(state.running, len(state.done), state.total)


def _assign_task(
    worker: _Worker,
    config: ExperimentConfig,
    plan: StagePlan,
    state: _SchedulerState,
    callback: RunCallback,
    stage: Stage,
    tracking_uri: str | None,
) -> None:
    worker.run_id = callback.on_stage_start(stage)
    worker.task = _make_task(config, plan, stage, worker.run_id, tracking_uri)
    worker.pipe.send(worker.task)
    del state.pending[stage.name]
    state.running[stage.name] = StageProgress(stage=stage, started_at=time.time())


def _poll_workers(workers: list[_Worker], plan: StagePlan, state: _SchedulerState, callback: RunCallback) -> None:
    """Take in what workers have to say, for at most half a second."""
    handles = [item for worker in workers if worker.task for item in (worker.pipe, worker.process.sentinel)]
    ready_handles = multiprocessing.connection.wait(handles, timeout=0.5)
    for worker in workers:
        if worker.task is None:
            continue
        stage = worker.task.stage
        if worker.pipe in ready_handles:
            _handle_message(worker, worker.pipe, stage, plan, state, callback)
        elif worker.process.sentinel in ready_handles:
            raise StageError(
                f"Stage {stage.name} ended with its process (exit status {worker.process.exitcode}). "
                "It may have run out of memory: try fewer executor.workers."
            )
    callback.on_progress(state.running, len(state.done), state.total)


def _handle_message(
    worker: _Worker, pipe: Any, stage: Stage, plan: StagePlan, state: _SchedulerState, callback: RunCallback
) -> None:
    try:
        kind, content = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise StageError(f"Stage {stage.name} ended with its process. It may have run out of memory.") from None
    if kind == "progress":
        progress = state.running[stage.name]
        progress.fraction, progress.rate, progress.unit = content
        return
    if kind == "user_log":
        user_log.warning("%s", content)
        return
    del state.running[stage.name]
    callback.on_stage_end(stage, plan.folder(stage.name), worker.run_id, None if kind == "done" else str(content))
    worker.task, worker.run_id = None, None
    if kind == "user_error":
        raise UserError(f"{stage.name}: {content}")
    if kind == "failed":
        raise StageError(
            f"Stage {stage.name} failed: {content} Its traceback is in {failure_log_path(plan.folder(stage.name))}."
        )
    state.done.add(stage.name)


def _start_workers(count: int, threads: int) -> list[_Worker]:
    # Torch cannot be forked once it has run, so workers start afresh; they take their threads from the environment.
    context = multiprocessing.get_context("spawn")
    saved_environment = {
        name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    os.environ.update(dict.fromkeys(saved_environment, str(threads)))
    # Ctrl-C is the launcher's to handle: workers are born deaf to it.
    previous_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    workers = []
    try:
        for _ in range(count):
            parent_end, worker_end = context.Pipe()
            process = context.Process(target=_worker_main, args=(worker_end, threads), daemon=False)
            process.start()
            worker_end.close()
            workers.append(_Worker(process=process, pipe=parent_end))
    finally:
        signal.signal(signal.SIGINT, previous_handler)
        for name, value in saved_environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return workers


def _stop_workers(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.task is None and worker.process.is_alive():
            worker.pipe.send(None)
        else:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(timeout=SHUTDOWN_TIMEOUT)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _worker_main(pipe: Any, threads: int) -> None:
    """What a worker process does: one task after the other, until there is none."""
    import torch

    torch.set_num_threads(threads)
    user_log.addHandler(ForwardHandler(lambda text: pipe.send(("user_log", text))))
    modalities: dict[str, Modality] | None = None
    while (task := _receive_task(pipe)) is not None:
        last_sent = 0.0

        def report_progress(fraction: float, rate: float, unit: str) -> None:
            nonlocal last_sent
            if time.monotonic() - last_sent > 0.3:
                last_sent = time.monotonic()
                pipe.send(("progress", (fraction, rate, unit)))

        try:
            modalities = modalities or build_modalities(task.config, default_registry())
            run_task(task, report_progress, modalities)
        except Exception as error:
            pipe.send(describe_failure(task, error))
        else:
            pipe.send(("done", None))


def _receive_task(pipe: Any) -> StageTask | None:
    try:
        task: StageTask | None = pipe.recv()
    except EOFError:
        return None
    return task
