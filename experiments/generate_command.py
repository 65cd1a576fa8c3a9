"""The options of ``fourm generate``, and its progress on the terminal. Heavy imports wait for the command itself."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from modalities.errors import ConfigError

if TYPE_CHECKING:
    from evaluation.generation.request import Request

OPTIONS = {
    "scheme": "maskgit (surest first) or roar (random order)",
    "steps": "steps of a grid; sequences are written token by token",
    "tokens": "cosine or linear: how many tokens each step decides",
    "temperature": "a number, linear:START, or onex:START:FLOOR:POWER; 0 takes the likeliest",
    "top_k": "how many of the likeliest tokens may be drawn, below 1 which share; 0 for all",
    "top_p": "how likely those that may be drawn are together",
    "guidance": "weight of all inputs together; 1 is off, below 0 turns away from them",
}
"""Settings that go for all targets, or as ``target=value,target=value`` for some."""


def add_generate_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of ``fourm generate``."""
    parser.add_argument(
        "--model", type=Path, required=True, help="a model's folder, or an ablation's (runs/quickstart)"
    )
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
    for name, meaning in OPTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), metavar="VALUE", help=meaning)
    parser.add_argument(
        "--conditions", default="", metavar="NAME=WEIGHT,...", help="weighted inputs, as caption=3,depth=-1"
    )
    parser.add_argument("--no-grow", action="store_true", help="finished targets are never left out by guidance")
    parser.add_argument("--no-prompt", action="store_true", help="do not show the first sentinel of a whole sequence")
    parser.add_argument("--num", type=int, default=1, help="variations")
    parser.add_argument("--points", type=int, default=0, help="query points of a dense map of instances")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument("--arm", help="arm of an ablation; its last, if not given")
    parser.add_argument("--model-seed", type=int, help="seed of an ablation; its last, if not given")
    parser.add_argument("--out", type=Path, default=Path("generated"), help="folder of the results")


def request_of(arguments: argparse.Namespace) -> "Request":
    """What was asked for.

    Raises:
        ConfigError: An option is not of the form that it takes.
    """
    from evaluation.generation.inputs import Source
    from evaluation.generation.request import Request
    from evaluation.generation.settings import Settings

    values, masks = _pairs("--from", arguments.sources), _pairs("--mask", arguments.masks)
    for name in masks:
        if name not in values:
            raise ConfigError(f"--mask {name}=... masks an input that --from does not give.")
    options = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    return Request(
        sources={
            name: Source(value=value, mask=Path(masks[name]) if name in masks else None)
            for name, value in values.items()
        },
        targets=[name.strip() for name in arguments.to.split(",") if name.strip()],
        settings=Settings(
            options=options,
            conditions=arguments.conditions,
            grow=not arguments.no_grow,
            prompted=not arguments.no_prompt,
        ),
        num=arguments.num,
        seed=arguments.seed,
        points=arguments.points,
        is_ordered=not arguments.in_order,
    )


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


def _pairs(option: str, items: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not value:
            raise ConfigError(f"{option} takes NAME=VALUE, got {item!r}.")
        if name in pairs:
            raise ConfigError(f"{option} gives {name!r} twice.")
        pairs[name] = value
    return pairs
