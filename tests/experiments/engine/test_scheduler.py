"""Order, failures and progress of stages, with stages that only note that they ran."""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from experiments.engine import scheduler
from experiments.engine.observer import StageProgress
from experiments.engine.scheduler import run_plan, threads_per_worker
from experiments.schema.load import load_config
from experiments.schema.sections import ExecutorConfig
from experiments.stages.context import StageContext
from experiments.stages.plan import DONE_FILE, Stage, StagePlan
from modalities.errors import UserError
from modalities.registry import Registry

STAGES = [
    Stage(kind="data", name="data/train/0000", params={}, cost=1.0),
    Stage(kind="data", name="data/train/0001", params={}, cost=2.0),
    Stage(kind="text", name="text", params={}, inputs=("data/train/0000",), cost=9.0),
    Stage(kind="model", name="model/a/0", params={}, inputs=("text", "data/train/0001"), cost=5.0),
]


SHARDED = [
    Stage(kind="data", name="data/train", params={}, num_items=3, cost=3.0),
    Stage(kind="text", name="text", params={}, cost=2.5),
    Stage(kind="tokens", name="tokens/train", params={}, inputs=("data/train",), num_items=1),
]


class Events:
    """Listener that notes what it is told."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[tuple[str, str | None, str | None]] = []
        self.progress: list[tuple[list[tuple[str, float]], int, int]] = []

    def on_stage_start(self, stage: Stage) -> str | None:
        self.started.append(stage.name)
        return f"run of {stage.name}"

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        self.progress.append(([(name, item.fraction) for name, item in running.items()], done, total))

    def on_stage_end(self, stage: Stage, folder: Path, run_id: str | None, error: str | None) -> None:
        self.ended.append((stage.name, run_id, error))


def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str = "", done: str = "") -> Events:
    """Run the stages in this process; ``failing`` fails and ``done`` is done before."""
    plan, events = StagePlan(tmp_path, STAGES), Events()

    def run_task(task: StageContext) -> None:
        task.report_progress(0.5, 3.0, "steps")
        if task.stage.name == failing:
            raise UserError("no more paper")

    monkeypatch.setattr(scheduler, "run_task", run_task)
    if done:
        plan.folder(done).mkdir(parents=True)
        (plan.folder(done) / DONE_FILE).write_text("{}")

    def make_task(stage: Stage, run_id: str | None) -> StageContext:
        assert run_id == f"run of {stage.name}"
        return StageContext(
            config=load_config(None), stage=stage, inputs={}, folder=plan.folder(stage.name), registry=Registry()
        )

    with pytest.raises(UserError, match=r"^no more paper$") if failing else nullcontext():
        run_plan(plan, make_task, events, ExecutorConfig(workers=0))
    return events


def test_a_stage_runs_behind_its_inputs_and_the_longest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = execute(tmp_path, monkeypatch)
    assert events.started == ["data/train/0001", "data/train/0000", "text", "model/a/0"]
    assert events.ended == [(name, f"run of {name}", None) for name in events.started]
    assert events.progress[0] == ([], 0, 4)
    assert ([("text", 0.5)], 2, 4) in events.progress
    assert events.progress[-1] == ([], 4, 4)


def test_a_stage_that_is_done_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = execute(tmp_path, monkeypatch, done="data/train/0000")
    assert events.started == ["text", "data/train/0001", "model/a/0"]
    assert events.progress[0] == ([], 1, 4)


def test_nothing_runs_behind_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = execute(tmp_path, monkeypatch, failing="text")
    assert events.started == ["data/train/0001", "data/train/0000", "text"]
    assert events.ended[-1] == ("text", "run of text", "no more paper")


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads_per_worker(ExecutorConfig(workers=2)) == 4
    assert threads_per_worker(ExecutorConfig(workers=16)) == 1
    assert threads_per_worker(ExecutorConfig(workers=2, threads=3)) == 3


def execute_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: dict[tuple[str, int], int], *settings: str
) -> tuple[list[tuple[str, int | None]], Events, dict[str, dict[int, str]]]:
    """Run the sharded stages in this process; an item of ``failures`` fails so many times.

    Answers with the tasks in the order of their ends, the events, and the items that each stage went on without.
    """
    plan, events, ended = StagePlan(tmp_path, SHARDED), Events(), []
    left, without = dict(failures), {}

    def run_task(task: StageContext) -> None:
        assert task.item is None or task.stage.num_items
        if task.item is not None and left.get((task.stage.name, task.item), 0):
            left[task.stage.name, task.item] -= 1
            raise UserError(f"shard {task.item} is torn")
        if task.item is None and task.failed_items:
            without[task.stage.name] = dict(task.failed_items)
        ended.append((task.stage.name, task.item))

    def make_task(stage: Stage, run_id: str | None) -> StageContext:
        return StageContext(
            config=load_config(None, settings),
            stage=stage,
            inputs={},
            folder=plan.folder(stage.name),
            registry=Registry(),
        )

    monkeypatch.setattr(scheduler, "run_task", run_task)
    run_plan(plan, make_task, events, ExecutorConfig(workers=0))
    return ended, events, without


ORDER = [
    ("data/train", 0),
    ("text", None),
    ("data/train", 1),
    ("data/train", 2),
    ("data/train", None),
    ("tokens/train", 0),
    ("tokens/train", None),
]


def test_a_stage_comes_behind_its_items_and_its_progress_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, events, without = execute_items(tmp_path, monkeypatch, {})
    assert ended == ORDER
    assert without == {}
    assert [name for name, _, error in events.ended if error is None] == ["text", "data/train", "tokens/train"]
    fractions = [dict(running).get("data/train") for running, _, _ in events.progress]
    assert [item for item in dict.fromkeys(fractions) if item] == [1 / 3, 2 / 3, 1.0]


def test_an_item_that_fails_once_is_done_again_behind_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fourm.user"):
        ended, _, without = execute_items(tmp_path, monkeypatch, {("data/train", 1): 1, ("tokens/train", 0): 1})
    assert [task for task in ended if task[0] == "data/train"] == [
        ("data/train", 0),
        ("data/train", 2),
        ("data/train", 1),
        ("data/train", None),
    ]
    assert without == {}
    assert [record.getMessage() for record in caplog.records] == [
        "data/train: shard 1 failed and is done once more: shard 1 is torn",
        "tokens/train: shard 0 failed and is done once more: shard 0 is torn",
    ]


def test_an_item_that_fails_twice_ends_the_run_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^data/train, shard 1: shard 1 is torn$"):
        execute_items(tmp_path, monkeypatch, {("data/train", 1): 2})
    # Tokens are never left out, for the values beside them are there.
    with pytest.raises(UserError, match=r"^tokens/train, shard 0: shard 0 is torn$"):
        execute_items(tmp_path, monkeypatch, {("tokens/train", 0): 2}, "data.on_error=skip")


def test_a_shard_of_data_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, events, without = execute_items(tmp_path, monkeypatch, {("data/train", 1): 2}, "data.on_error=skip")
    assert without == {"data/train": {1: "shard 1 is torn"}}
    assert ("data/train", 1) not in ended
    assert ended[-1] == ("tokens/train", None)
    assert all(error is None for _, _, error in events.ended)
