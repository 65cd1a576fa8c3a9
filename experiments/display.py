"""What a person sees on the terminal while stages run: a live table, or plain lines where there is no terminal."""

import time
from collections.abc import Mapping
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
        self._seconds = 0.0
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

    def reused(self, count: int, total: int) -> None:
        """Say how much is there already."""
        if count:
            self._console.print(f"{count} of {total} stages are done already and are not run again.")

    def ended(self, stage: Stage, seconds: float, error: str | None) -> None:
        """Leave a line for a stage that has ended."""
        self._done_cost += stage.cost
        self._seconds += seconds
        mark = Text("✗ ", style="red") if error else Text("✓ ", style="green")
        self._console.print(mark + Text(f"{stage.name}  {duration(seconds)}"))

    def moved(self, running: Mapping[str, Progress], done: int, total: int) -> None:
        """Show where the running stages are."""
        if self._live is not None:
            self._live.update(self._table(running, done, total))
        elif time.time() - self._lines > 30 and running:
            self._lines = time.time()
            told = ", ".join(f"{name} {100 * item.share:.0f} %" for name, item in running.items())
            self._console.print(f"{done}/{total} stages, {duration(time.time() - self._began)}: {told}")

    def _table(self, running: Mapping[str, Progress], done: int, total: int) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, item in running.items():
            spent = time.time() - item.started
            left = duration(spent / item.share - spent) if item.share > 0.02 else "?"
            rate = f"{item.rate:,.0f} {item.unit}/s" if item.rate else ""
            full = round(_BAR * item.share)
            bar = Text("█" * full, style="cyan") + Text("░" * (_BAR - full), style="dim")
            table.add_row(name, bar, f"{100 * item.share:3.0f} %", rate, f"{left} left")
        table.add_row(
            "all",
            Text(f"{done} of {total} stages", style="bold"),
            "",
            f"{duration(time.time() - self._began)} so far",
            "",
        )
        return table
