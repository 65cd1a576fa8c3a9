"""Order, failures and progress of stages, with stages that only note that they ran."""

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
