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

from experiments.config import ExperimentConfig, modalities_of
from experiments.execution import failure
from experiments.launch import run_order
from experiments.order import NEWS, Forward, Order, StageError, log_file
from experiments.stages import Plan, Stage
from modalities.errors import UserError
from modalities.registry import default_registry
from modalities.spec import Modality

PATIENCE = 30.0
"""Seconds that workers get to put things away, of which a model's checkpoint takes the longest."""


@dataclass(kw_only=True)
class Progress:
    """How far one running stage is."""

    stage: Stage
    started: float
    share: float = 0.0
    rate: float = 0.0
    unit: str = ""


@runtime_checkable
class Watcher(Protocol):
    """Who wants to know how a run goes."""

    def started(self, stage: Stage) -> str | None:
        """A stage starts; answers with the ledger run that it writes to, if there is one."""
        ...

    def moved(self, running: Mapping[str, Progress], done: int, total: int) -> None:
        """Something went on."""
        ...

    def ended(self, stage: Stage, folder: Path, run: str | None, error: str | None) -> None:
        """A stage has ended, well where there is no error."""
        ...


@dataclass(kw_only=True)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    order: Order | None = None
    run: str | None = None


@dataclass(kw_only=True)
class _State:
    """What is done, running and waiting."""

    waiting: dict[str, Stage]
    done: set[str]
    total: int
    running: dict[str, Progress] = field(default_factory=dict)

    def ready(self) -> Stage | None:
        """The longest of the stages whose inputs are done."""
        stages = [stage for stage in self.waiting.values() if self.done.issuperset(stage.inputs)]
        return max(stages, key=lambda stage: stage.cost, default=None)


def run_plan(config: ExperimentConfig, plan: Plan, watcher: Watcher, ledger_uri: str | None = None) -> None:
    """Run what is not done yet.

    Raises:
        UserError: A stage failed; the others are stopped, and what they had not finished is made anew next time.
    """
    plan.clean()
    finished = {name for name in plan.stages if plan.is_done(name)}
    state = _State(
        waiting={name: stage for name, stage in plan.stages.items() if name not in finished},
        done=finished,
        total=len(plan.stages),
    )
    watcher.moved(state.running, len(state.done), state.total)
    if not state.waiting:
        return
    if config.executor.workers == 0:
        _run_here(config, plan, state, watcher, ledger_uri)
        return
    workers = _start_workers(min(config.executor.workers, len(state.waiting)), _threads(config))
    try:
        while state.waiting or state.running:
            for worker in workers:
                stage = state.ready() if worker.order is None else None
                if stage is not None:
                    _hand_out(worker, config, plan, state, watcher, stage, ledger_uri)
            _listen(workers, plan, state, watcher)
    finally:
        _stop_workers(workers)
        for worker in workers:
            if worker.order is not None:
                stage = worker.order.stage
                watcher.ended(stage, plan.folder(stage.name), worker.run, "stopped before its end")


def _threads(config: ExperimentConfig) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.executor.threads or max(1, cores // max(1, config.executor.workers))


def _order(config: ExperimentConfig, plan: Plan, stage: Stage, run: str | None, ledger_uri: str | None) -> Order:
    tracking = (ledger_uri, run) if ledger_uri is not None and run is not None else None
    inputs = {name: plan.folder(name) for name in stage.inputs}
    return Order(config=config, stage=stage, inputs=inputs, folder=plan.folder(stage.name), tracking=tracking)


def _run_here(config: ExperimentConfig, plan: Plan, state: _State, watcher: Watcher, ledger_uri: str | None) -> None:
    while (stage := state.ready()) is not None:
        run = watcher.started(stage)
        del state.waiting[stage.name]
        progress = state.running[stage.name] = Progress(stage=stage, started=time.time())

        def report(share: float, rate: float, unit: str, progress: Progress = progress) -> None:
            progress.share, progress.rate, progress.unit = share, rate, unit
            watcher.moved(state.running, len(state.done), state.total)

        try:
            run_order(_order(config, plan, stage, run, ledger_uri), report, modalities_of(config, default_registry()))
        except BaseException as error:
            watcher.ended(stage, plan.folder(stage.name), run, str(error))
            raise
        del state.running[stage.name]
        state.done.add(stage.name)
        watcher.ended(stage, plan.folder(stage.name), run, None)
        watcher.moved(state.running, len(state.done), state.total)


def _hand_out(
    worker: _Worker,
    config: ExperimentConfig,
    plan: Plan,
    state: _State,
    watcher: Watcher,
    stage: Stage,
    ledger_uri: str | None,
) -> None:
    worker.run = watcher.started(stage)
    worker.order = _order(config, plan, stage, worker.run, ledger_uri)
    worker.pipe.send(worker.order)
    del state.waiting[stage.name]
    state.running[stage.name] = Progress(stage=stage, started=time.time())


def _listen(workers: list[_Worker], plan: Plan, state: _State, watcher: Watcher) -> None:
    """Take in what workers have to say, for at most half a second."""
    waited = [item for worker in workers if worker.order for item in (worker.pipe, worker.process.sentinel)]
    spoken = multiprocessing.connection.wait(waited, timeout=0.5)
    for worker in workers:
        if worker.order is None:
            continue
        stage = worker.order.stage
        if worker.pipe in spoken:
            _take(worker, worker.pipe, stage, plan, state, watcher)
        elif worker.process.sentinel in spoken:
            raise StageError(
                f"Stage {stage.name} ended with its process (exit status {worker.process.exitcode}). "
                "It may have run out of memory: try fewer executor.workers."
            )
    watcher.moved(state.running, len(state.done), state.total)


def _take(worker: _Worker, pipe: Any, stage: Stage, plan: Plan, state: _State, watcher: Watcher) -> None:
    try:
        kind, content = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise StageError(f"Stage {stage.name} ended with its process. It may have run out of memory.") from None
    if kind == "progress":
        progress = state.running[stage.name]
        progress.share, progress.rate, progress.unit = content
        return
    if kind == "news":
        NEWS.warning("%s", content)
        return
    del state.running[stage.name]
    watcher.ended(stage, plan.folder(stage.name), worker.run, None if kind == "done" else str(content))
    worker.order, worker.run = None, None
    if kind == "mistake":
        raise UserError(f"{stage.name}: {content}")
    if kind == "failed":
        raise StageError(
            f"Stage {stage.name} failed: {content} The whole story is in {log_file(plan.folder(stage.name))}."
        )
    state.done.add(stage.name)


def _start_workers(count: int, threads: int) -> list[_Worker]:
    # Torch cannot be forked once it has run, so workers start afresh; they take their threads from the environment.
    context = multiprocessing.get_context("spawn")
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, str(threads)))
    # Ctrl-C is the launcher's to handle: workers are born deaf to it.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    workers = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, threads), daemon=False)
            process.start()
            theirs.close()
            workers.append(_Worker(process=process, pipe=ours))
    finally:
        signal.signal(signal.SIGINT, interrupt)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return workers


def _stop_workers(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.order is None and worker.process.is_alive():
            worker.pipe.send(None)
        else:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(timeout=PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _work(pipe: Any, threads: int) -> None:
    """What a worker process does: one order after the other, until there is none."""
    import torch

    torch.set_num_threads(threads)
    NEWS.addHandler(Forward(lambda text: pipe.send(("news", text))))
    modalities: dict[str, Modality] | None = None
    while (order := _next(pipe)) is not None:
        said = 0.0

        def report(share: float, rate: float, unit: str) -> None:
            nonlocal said
            if time.monotonic() - said > 0.3:
                said = time.monotonic()
                pipe.send(("progress", (share, rate, unit)))

        try:
            modalities = modalities or modalities_of(order.config, default_registry())
            run_order(order, report, modalities)
        except Exception as error:
            pipe.send(failure(order, error))
        else:
            pipe.send(("done", None))


def _next(pipe: Any) -> Order | None:
    try:
        order: Order | None = pipe.recv()
    except EOFError:
        return None
    return order
