"""What a person sees on the terminal while stages run: a live table, or plain lines where there is no terminal."""

import time
from collections.abc import Collection, Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from evaluation.plots import duration
from experiments.scheduler import Progress
from experiments.stages import Plan, Stage

_BAR = 24


class Display:
    """Shows the running stages with their rate and time left, and how much of the whole is done."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._cost = {name: stage.cost for name, stage in plan.stages.items()}
        self._began = time.time()
        self._done_cost = 0.0
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._lines = 0.0

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def reused(self, names: Collection[str]) -> None:
        """Say how much is there already; it takes no time."""
        if names:
            self._console.print(f"{len(names)} of {len(self._cost)} stages are done already and are not run again.")
        for name in names:
            self._cost[name] = 0.0

    def ended(self, stage: Stage, seconds: float, error: str | None) -> None:
        """Leave a line for a stage that has ended."""
        self._done_cost += self._cost[stage.name]
        mark = Text("✗ ", style="red") if error else Text("✓ ", style="green")
        self._console.print(mark + Text(f"{stage.name}  {duration(seconds)}"))

    def moved(self, running: Mapping[str, Progress], done: int, total: int) -> None:
        """Show where the running stages are."""
        if self._live is not None:
            self._live.update(self._table(running, done, total))
        elif time.time() - self._lines > 30 and running:
            self._lines = time.time()
            spent = duration(time.time() - self._began)
            self._console.print(
                f"{done}/{total} stages, {spent} so far, {self._left(running)} left: "
                + "; ".join(_told(name, item) for name, item in running.items()),
                soft_wrap=True,
            )

    def _left(self, running: Mapping[str, Progress]) -> str:
        """The time that the rest will take if its costs are as those so far; ``?`` where too little is done to tell."""
        done = self._done_cost + sum(item.share * self._cost[name] for name, item in running.items())
        total = sum(self._cost.values())
        if done < 0.01 * total:
            return "?"
        return "about " + duration((time.time() - self._began) * (total - done) / done)

    def _table(self, running: Mapping[str, Progress], done: int, total: int) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, item in running.items():
            full = round(_BAR * item.share)
            bar = Text("█" * full, style="cyan") + Text("░" * (_BAR - full), style="dim")
            table.add_row(name, bar, f"{100 * item.share:3.0f} %", _rate(item), f"{_stage_left(item)} left")
        table.add_row(
            "all",
            Text(f"{done} of {total} stages", style="bold"),
            "",
            f"{duration(time.time() - self._began)} so far",
            f"{self._left(running)} left",
        )
        return table


def _rate(item: Progress) -> str:
    return f"{item.rate:,.0f} {item.unit}/s" if item.rate else ""


def _stage_left(item: Progress) -> str:
    spent = time.time() - item.started
    return duration(spent / item.share - spent) if item.share > 0.02 else "?"


def _told(name: str, item: Progress) -> str:
    """A running stage in words."""
    parts = [f"{name} {100 * item.share:.0f} %", _rate(item), f"{_stage_left(item)} left"]
    return ", ".join(part for part in parts if part)
