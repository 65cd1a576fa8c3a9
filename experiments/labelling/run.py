"""Runs the shards of a plan, in this process or over several, and writes which labeller made the labels."""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

from experiments.labelling.plan import LabelFormat, LabelPlan, Shard
from experiments.labelling.records import LabelRecords
from experiments.labelling.shards import ShardResult, label_fingerprint, label_shard
from experiments.labelling.writers import modality_folder, shard_path
from experiments.processes import spawning
from modalities.errors import DataError, UserError
from modalities.sources.base import Source
from modalities.sources.open import open_source
from modalities.spec import Modality


class _Worker(NamedTuple):
    """What a process needs for every shard."""

    plan: LabelPlan
    source: Source
    known: Mapping[str, Mapping[str, str | None]]


_PLAN: list[LabelPlan] = []
"""The plan of this worker process."""


def check_output(plan: LabelPlan, shards: Iterable[Shard], *, replaces: bool) -> None:
    """Check that labels may be written where the plan says.

    Raises:
        DataError: There are other files, labels by another labeller or with other settings, or more tars than shards.
    """
    by_split = {shard.split: shard for shard in shards}
    for labeller in plan.labellers:
        folders = [modality_folder(plan, shard, labeller.output) for shard in by_split.values()]
        LabelRecords(plan.out, labeller.output).check_owner(
            label_fingerprint(plan, labeller), folders, replaces=replaces
        )
        if plan.format is LabelFormat.webdataset:
            for shard in by_split.values():
                _refuse_tars_beyond(plan, shard, plan.modalities[labeller.output])


def _refuse_tars_beyond(plan: LabelPlan, shard: Shard, modality: Modality) -> None:
    """Check that the folder of a split has no tars beyond its shards, whose samples would be there twice.

    Raises:
        DataError: It has.
    """
    folder = modality_folder(plan, shard, modality.name)
    known = {shard_path(plan, replace(shard, index=index), modality).name for index in range(shard.count)}
    left = sorted(path.name for path in folder.glob("*.tar") if path.name not in known)
    if left:
        raise DataError(
            f"{folder} has {len(left)} tars beyond the {shard.count} of this call, such as {left[0]}: choose another "
            "--out, or the --shard and --limit of before."
        )


def run_labelling(plan: LabelPlan, shards: Iterable[Shard], num_workers: int) -> Iterator[ShardResult]:
    """Label the shards, and give the result of each as soon as it is there.

    Args:
        num_workers: Processes; 0 works in this one.

    Raises:
        UserError: A sample cannot be labelled, or a worker process ended.
    """
    _write_summaries(plan)
    if num_workers == 0:
        worker = _make_worker(plan)
        yield from (label_shard(worker.plan, worker.source, shard, worker.known) for shard in shards)
    else:
        yield from _run_pool(plan, shards, num_workers)
    _write_summaries(plan)


def _run_pool(plan: LabelPlan, shards: Iterable[Shard], num_workers: int) -> Iterator[ShardResult]:
    """Results as they come; few shards are waiting at a time, however many there are."""
    waiting = iter(shards)
    with (
        spawning(),
        ProcessPoolExecutor(
            num_workers, mp_context=get_context("spawn"), initializer=_open_worker, initargs=(plan,)
        ) as pool,
    ):
        try:
            running: set[Future[ShardResult]] = {
                pool.submit(_label_in_worker, shard) for shard in itertools.islice(waiting, 2 * num_workers)
            }
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(_label_in_worker, shard) for shard in itertools.islice(waiting, len(finished))}
                yield from (future.result() for future in finished)
        except BrokenProcessPool as error:
            raise UserError(
                "A worker process ended before its shard was labelled, for lack of memory or because it was killed: "
                "use fewer --workers. The same command resumes with the shards that are not done."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _open_worker(plan: LabelPlan) -> None:
    """Give a process its share of the threads, before torch and onnxruntime are imported, which read it once."""
    if plan.num_threads:
        os.environ["OMP_NUM_THREADS"] = str(plan.num_threads)
    _PLAN[:] = [plan]


def _label_in_worker(shard: Shard) -> ShardResult:
    worker = _process_worker()
    return label_shard(worker.plan, worker.source, shard, worker.known)


@functools.cache
def _process_worker() -> _Worker:
    """The worker of this process, made for its first shard, so that its errors reach the process that waits."""
    (plan,) = _PLAN
    return _make_worker(plan)


def _make_worker(plan: LabelPlan) -> _Worker:
    source = open_source(plan.source, plan.modalities, plan.sources)
    for labeller in plan.labellers:
        labeller.prepare()
    return _Worker(plan=plan, source=source, known=_known_labels(plan))


def _known_labels(plan: LabelPlan) -> dict[str, dict[str, str | None]]:
    """Signatures by key of the labels that lie one in a file, from shards of any earlier call; None for other kinds."""
    if plan.format is not LabelFormat.folder:
        return {}
    return {
        item.output: LabelRecords(plan.out, item.output).labels(label_fingerprint(plan, item))
        for item in plan.labellers
    }


def _write_summaries(plan: LabelPlan) -> None:
    source = open_source(plan.source, plan.modalities, plan.sources)
    for labeller in plan.labellers:
        LabelRecords(plan.out, labeller.output).write_summary(plan, labeller, source, label_fingerprint(plan, labeller))
