"""Worker processes: each imports torch once, and runs one stage or work item after the other."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from experiments.engine.execution import describe_failure
from experiments.engine.launch import run_task
from experiments.engine.task import ForwardHandler
from experiments.processes import spawning
from experiments.stages.context import StageContext, user_log

SHUTDOWN_TIMEOUT = 30.0
"""Seconds that workers get to end; a model's checkpoint takes the longest."""


@dataclass(kw_only=True)
class Worker:
    """A worker process, and the stage or work item that it runs."""

    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    task: StageContext | None = None

    def assign(self, task: StageContext) -> None:
        """Give the worker a stage or a work item to run."""
        self.task = task
        self.pipe.send(task)


def start_workers(count: int, threads: int) -> list[Worker]:
    """Start processes of so many threads each."""
    # Torch cannot be forked once it has run, so workers start afresh; they take their threads from the environment.
    context = multiprocessing.get_context("spawn")
    workers = []
    # Workers ignore SIGINT from their start; the launcher handles it.
    previous_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _thread_variables(threads), spawning():
            for _ in range(count):
                parent_end, worker_end = context.Pipe()
                process = context.Process(target=_worker_main, args=(worker_end, threads), daemon=False)
                process.start()
                worker_end.close()
                workers.append(Worker(process=process, pipe=parent_end))
    finally:
        signal.signal(signal.SIGINT, previous_handler)
    return workers


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    saved = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(saved, str(threads)))
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def poll_workers(workers: list[Worker], timeout: float = 0.5) -> Iterator[tuple[Worker, str, Any]]:
    """Yield one message of each busy worker that has one, as (worker, kind, content); wait up to ``timeout`` seconds.

    The kind is ``lost`` where the process has ended before its stage.
    """
    busy = [worker for worker in workers if worker.task is not None]
    ready = multiprocessing.connection.wait(
        [end for item in busy for end in (item.pipe, item.process.sentinel)], timeout
    )
    for worker in busy:
        assert worker.task is not None
        if worker.pipe in ready:
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                worker.process.join(SHUTDOWN_TIMEOUT)
                kind, content = "lost", _lost_process(worker)
            yield worker, kind, content
        elif worker.process.sentinel in ready:
            yield worker, "lost", _lost_process(worker)


def _lost_process(worker: Worker) -> str:
    return (
        f"it ended with its process (exit status {worker.process.exitcode}). "
        "It may have run out of memory: try fewer executor.workers."
    )


def stop_workers(workers: list[Worker]) -> None:
    """End all workers; those in the middle of a stage get SIGTERM, and time to write a checkpoint."""
    for worker in workers:
        if worker.task is None and worker.process.is_alive():
            with suppress(BrokenPipeError):
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
    """Run one task after the other, until there is none."""
    torch.set_num_threads(threads)
    user_log.addHandler(ForwardHandler(lambda text: pipe.send(("user_log", text))))
    while (task := _receive_task(pipe)) is not None:
        last_sent = 0.0

        def report_progress(fraction: float, rate: float, unit: str) -> None:
            nonlocal last_sent
            if time.monotonic() - last_sent > 0.3:
                last_sent = time.monotonic()
                pipe.send(("progress", (fraction, rate, unit)))

        try:
            run_task(replace(task, report_progress=report_progress))
        except Exception as error:
            pipe.send(describe_failure(task, error))
        else:
            pipe.send(("done", None))


def _receive_task(pipe: Any) -> StageContext | None:
    try:
        task: StageContext | None = pipe.recv()
    except EOFError:
        return None
    return task
