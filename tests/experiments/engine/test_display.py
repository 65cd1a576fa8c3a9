"""What is said while stages run: the stage, its rate, and the time left, of each and of all."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from experiments.engine import display as displays
from experiments.engine.display import ProgressDisplay
from experiments.engine.observer import StageProgress
from experiments.stages.plan import Stage, StagePlan

STAGES = [
    Stage(kind="data", name="data/train/0000", params={}, cost=500.0),
    Stage(kind="text", name="text", params={}, cost=100.0),
    Stage(kind="model", name="model/a/0", params={}, cost=300.0),
    Stage(kind="model", name="model/b/0", params={}, cost=600.0),
]


class Clock:
    """A time that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The display's clock."""
    made = Clock()
    monkeypatch.setattr(displays, "time", made)
    return made


def shown(clock: Clock, tmp_path: Path, *, terminal: bool) -> str:
    """What stands there after 100 s: data is reused, text is done, a third of one model is, none of the other."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    display = ProgressDisplay(console)
    display.on_plan(StagePlan(tmp_path, STAGES), ["data/train/0000"])
    clock.now += 60
    display.on_stage_end(STAGES[1], 60.0, None)
    clock.now += 40
    running = {
        "model/a/0": StageProgress(
            stage=STAGES[2], started_at=clock.now - 40, fraction=1 / 3, rate=51_234.0, unit="tokens"
        ),
        "model/b/0": StageProgress(stage=STAGES[3], started_at=clock.now - 40),
    }
    if terminal:
        console.print(display._table(running, 2, 4))
    else:
        display.on_progress(running, 2, 4)
    told: str = console.file.getvalue()  # type: ignore[attr-defined]
    return told


def test_a_terminal_shows_the_rate_and_the_time_left(clock: Clock, tmp_path: Path) -> None:
    lines = [" ".join(line.split()) for line in shown(clock, tmp_path, terminal=True).splitlines()]
    assert lines[0] == "1 of 4 stages are done already and are not run again."
    assert lines[-3].startswith("model/a/0")
    assert lines[-3].endswith("33 % 51,234 tokens/s 80 s left")
    assert lines[-2].endswith("0 % ? left")
    # A unit of a model takes 0.4 s, as 100 units of model/a took 40 s: 800 units are left, one stage at a time.
    assert lines[-1] == "all 2 of 4 stages 1 min 40 s so far about 5 min 20 s left"


def test_a_file_gets_the_same_in_a_line(clock: Clock, tmp_path: Path) -> None:
    last = shown(clock, tmp_path, terminal=False).splitlines()[-1]
    assert last == (
        "2/4 stages, 1 min 40 s so far, about 5 min 20 s left: "
        "model/a/0 33 %, 51,234 tokens/s, 80 s left; model/b/0 0 %, ? left"
    )


def test_nothing_is_foretold_before_anything_is_done(clock: Clock, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160)
    display = ProgressDisplay(console)
    display.on_plan(StagePlan(tmp_path, STAGES), [])
    clock.now += 5
    display.on_progress({"text": StageProgress(stage=STAGES[1], started_at=clock.now)}, 0, 4)
    assert console.file.getvalue() == "0/4 stages, 5.0 s so far, ? left: text 0 %, ? left\n"  # type: ignore[attr-defined]


def test_a_kind_that_has_not_run_is_as_slow_as_the_others(clock: Clock, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160)
    display = ProgressDisplay(console)
    display.on_plan(StagePlan(tmp_path, STAGES), [])
    clock.now += 50
    display.on_stage_end(STAGES[0], 50.0, None)
    display.on_progress({"text": StageProgress(stage=STAGES[1], started_at=clock.now)}, 1, 4)
    # 500 units took 50 s, and 1,000 are left.
    assert "1 min 40 s left" in console.file.getvalue()  # type: ignore[attr-defined]


def test_stages_side_by_side_halve_the_time(clock: Clock, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160)
    display = ProgressDisplay(console)
    display.on_plan(StagePlan(tmp_path, STAGES), [])
    clock.now += 50
    display.on_stage_end(STAGES[0], 50.0, None)
    display.on_stage_end(STAGES[1], 50.0, None)
    display.on_progress({"model/a/0": StageProgress(stage=STAGES[2], started_at=clock.now)}, 2, 4)
    # 600 units took 100 s of work in 50 s: 900 take 150 s of work.
    assert "75 s left" in console.file.getvalue()  # type: ignore[attr-defined]
