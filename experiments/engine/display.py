"""Shows a run on the terminal: a live table, or plain lines if the output is no terminal."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from evaluation.report.formats import format_duration
from experiments.engine.observer import StageProgress
from experiments.stages.plan import Stage, StagePlan

_BAR_WIDTH = 24


class ProgressDisplay:
    """Shows the running stages with their rate and time left, and how much of the whole is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._left: dict[str, float] = {}
        self._kind: dict[str, str] = {}
        self._spent: dict[str, tuple[float, float]] = {}
        self._started_at = time.time()
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._last_printed = 0.0

    def __enter__(self) -> "ProgressDisplay":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_plan(self, plan: StagePlan, reused: Sequence[str]) -> None:
        """Say how many stages are done already; they take no time."""
        self._left = {name: stage.cost for name, stage in plan.stages.items() if name not in reused}
        self._kind = {name: stage.kind for name, stage in plan.stages.items()}
        if reused:
            self._console.print(f"{len(reused)} of {len(plan.stages)} stages are done already and are not run again.")

    def on_stage_end(self, stage: Stage, seconds: float, error: str | None) -> None:
        """Leave a line for a stage that has ended."""
        cost = self._left.pop(stage.name, 0.0)
        if error is None:
            earlier_seconds, earlier_cost = self._spent.get(stage.kind, (0.0, 0.0))
            self._spent[stage.kind] = earlier_seconds + seconds, earlier_cost + cost
        mark = Text("✗ ", style="red") if error else Text("✓ ", style="green")
        self._console.print(mark + Text(f"{stage.name}  {format_duration(seconds)}"))

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Show the running stages."""
        if self._live is not None:
            self._live.update(self._table(running, done, total))
        elif time.time() - self._last_printed > 30 and running:
            self._last_printed = time.time()
            elapsed = format_duration(time.time() - self._started_at)
            self._console.print(
                f"{done}/{total} stages, {elapsed} so far, {self._time_left(running)} left: "
                + "; ".join(_status_line(name, item) for name, item in running.items()),
                soft_wrap=True,
            )

    def _time_left(self, running: Mapping[str, StageProgress]) -> str:
        """The rest's expected time by what each kind of stage has taken so far; ``?`` while too little is done to tell.

        A kind that has not run yet is taken to be as much slower or faster than expected as the others were.
        """
        now = time.time()
        spent = {kind: list(item) for kind, item in self._spent.items()}
        left = dict(self._left)
        for name, item in running.items():
            done = item.fraction * left[name]
            left[name] -= done
            if item.fraction > 0.02:
                seconds, cost = spent.get(item.stage.kind, (0.0, 0.0))
                spent[item.stage.kind] = [seconds + now - item.started_at, cost + done]
        seconds, cost = (sum(item[index] for item in spent.values()) for index in (0, 1))
        if cost < 0.05 * (cost + sum(left.values())) or now <= self._started_at:
            return "?"
        overall = seconds / cost
        ratios = {kind: item[0] / item[1] for kind, item in spent.items() if item[1]}
        work = sum(amount * ratios.get(self._kind[name], overall) for name, amount in left.items())
        num_parallel = max(1.0, seconds / (now - self._started_at))
        return "about " + format_duration(work / num_parallel)

    def _table(self, running: Mapping[str, StageProgress], done: int, total: int) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, item in running.items():
            filled = round(_BAR_WIDTH * item.fraction)
            bar = Text("█" * filled, style="cyan") + Text("░" * (_BAR_WIDTH - filled), style="dim")
            table.add_row(name, bar, f"{100 * item.fraction:3.0f} %", _rate(item), f"{_stage_time_left(item)} left")
        table.add_row(
            "all",
            Text(f"{done} of {total} stages", style="bold"),
            "",
            f"{format_duration(time.time() - self._started_at)} so far",
            f"{self._time_left(running)} left",
        )
        return table


def _rate(item: StageProgress) -> str:
    return f"{item.rate:,.{1 if item.rate < 10 else 0}f} {item.unit}/s" if item.rate else ""


def _stage_time_left(item: StageProgress) -> str:
    elapsed = time.time() - item.started_at
    return format_duration(elapsed / item.fraction - elapsed) if item.fraction > 0.02 else "?"


def _status_line(name: str, item: StageProgress) -> str:
    """A running stage in words."""
    parts = [f"{name} {100 * item.fraction:.0f} %", _rate(item), f"{_stage_time_left(item)} left"]
    return ", ".join(part for part in parts if part)
