"""The options of ``fourm generate``, and its progress on the terminal. Heavy imports wait for the command itself."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.cli.options import add_model_options

SAMPLING_OPTIONS = {
    "scheme": "maskgit (most confident first) or roar (random order)",
    "steps": "steps of a grid; sequences are written token by token",
    "tokens": "cosine or linear: how many tokens each step decides",
    "temperature": "a number, linear:START, or onex:START:FLOOR:POWER; 0 is argmax",
    "top_k": "sample from the k most likely tokens; below 1, a fraction of the vocabulary; 0 for all",
    "top_p": "nucleus sampling: cumulative probability of the tokens that may be sampled",
    "guidance": "weight of all inputs together; 1 is off, below 0 turns away from them",
}
"""Settings that go for all targets, or as ``target=value,target=value`` for some."""


def add_generate_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of ``fourm generate``."""
    add_model_options(parser)
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help='an input: a file, or a text with [S_1] where something is missing, as "caption=a red ball [S_1]"',
    )
    parser.add_argument(
        "--mask",
        dest="masks",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an image as large as the input, white where it is to be generated anew",
    )
    parser.add_argument("--to", required=True, help="targets, as in depth,semseg,rgb")
    parser.add_argument(
        "--in-order", action="store_true", help="generate targets as listed, not in the published order"
    )
    for name, help_text in SAMPLING_OPTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), metavar="VALUE", help=help_text)
    parser.add_argument(
        "--conditions", default="", metavar="NAME=WEIGHT,...", help="weighted inputs, as caption=3,depth=-1"
    )
    parser.add_argument("--no-accumulate", action="store_true", help="keep finished targets in every guidance branch")
    parser.add_argument(
        "--no-sentinel-prompt", action="store_true", help="do not show the first sentinel of a whole sequence"
    )
    parser.add_argument("--num", type=int, default=1, help="variations")
    parser.add_argument("--num-points", type=int, default=0, help="query points of a dense map of instances")
    parser.add_argument("--seed", type=int, default=0, help="seed of all sampling")
    parser.add_argument("--out", type=Path, default=Path("generated"), help="folder of the results")


@contextmanager
def generation_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A line for each target: steps done, or tokens written."""
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as display:
        tasks: dict[str, int] = {}

        def show(target: str, step: int, total: int) -> None:
            if target not in tasks:
                tasks[target] = display.add_task(target, total=total or None)
            display.update(display.task_ids[list(tasks).index(target)], completed=step)

        yield show
