"""``fourm label``: fills in modalities of a data set from others, by exact code or by networks."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiments.cli.options import parse_pairs, print_lines, shell_command, split_names
from experiments.data_source import parse_data
from experiments.labelling.choice import LabelChoice, make_plan
from experiments.labelling.plan import LabelFormat, LabelPlan, Shard, check_inputs, plan_shards
from experiments.labelling.reading import picture_size
from experiments.labelling.run import check_output, run_labelling
from experiments.labelling.shards import ShardResult
from modalities.errors import ConfigError
from modalities.labellers.registry import LabellerRegistry, default_labellers
from modalities.sources.open import open_source
from modalities.variants import read_class_names

DEFAULT_SIZE = 512
"""Shorter side of pictures when they are labelled, in pixels."""
MAX_PRINTED_FAILURES = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the source, what to make, by which labellers, and how the work is shared."""
    parser.add_argument("source", nargs="?", help="the data: folder:photos, scenes, a folder, or a .yaml of settings")
    parser.add_argument("--to", default="", help="modalities to make, as in canny_edges,color_palette,metadata_image")
    parser.add_argument("--copy", default="", help="modalities to take over from the source as they are, as in rgb")
    parser.add_argument("--out", type=Path, help="folder of the labels; it may be that of the data")
    parser.add_argument(
        "--format",
        choices=[item.value for item in LabelFormat],
        default=LabelFormat.folder.value,
        help="one file a sample, or one tar a shard as published for 4M (default %(default)s)",
    )
    parser.add_argument("--split", default="", help="splits, as in train,validation; if not given, all")
    parser.add_argument("--limit", type=int, help="most samples of each split; scenes need it")
    parser.add_argument(
        "--size",
        type=int,
        default=DEFAULT_SIZE,
        help="shorter side in pixels that larger pictures are reduced to before they are labelled, 0 for their own, "
        "and side of scenes (default %(default)s)",
    )
    for option, form, help_text in (
        ("--expert", "MODALITY=MODEL", "network for a modality: a folder, a name on the Hub, or a .yaml of a file"),
        ("--labeller", "MODALITY=NAME", "labeller for a modality that several make"),
        ("--set", "MODALITY.SETTING=VALUE", "setting of a labeller"),
    ):
        parser.add_argument(option, metavar=form, action="append", default=[], help=help_text)
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 works in this one (default %(default)s)")
    parser.add_argument("--shard", type=int, default=256, help="samples of a unit of work (default %(default)s)")
    parser.add_argument("--part", default="1/1", help="part of the shards that this call labels, as in 3/8")
    parser.add_argument(
        "--on-error", choices=["raise", "skip"], default="raise", help="end at a sample that fails, or leave it out"
    )
    parser.add_argument("--replace", action="store_true", help="replace labels made by another labeller or setting")
    parser.add_argument("--list", action="store_true", help="list the labellers that are built in or installed")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Label, and print what was made and what was not.

    Raises:
        UserError: A labeller, an input, a package or weights are missing, or a sample cannot be labelled.
    """
    registry = default_labellers()
    if arguments.list:
        table, problems = labeller_table(registry)
        console.print(table)
        print_lines(console, [*problems], style="yellow")
        print_lines(console, expert_lines())
        return
    part = parse_part(arguments.part)
    plan = prepare(arguments, registry, console)
    source = open_source(plan.source, plan.modalities, plan.sources)
    notes = check_inputs(plan.labellers, source, plan.modalities)
    splits = split_names(arguments.split) or list(source.splits)
    shards = list(plan_shards(source, splits, shard_size=arguments.shard, limit=arguments.limit, part=part))
    check_output(plan, shards, replaces=arguments.replace)
    print_lines(console, [*describe_plan(plan), *notes])
    summarize(plan, run_with_progress(plan, shards, arguments.workers, console), console)


def prepare(arguments: argparse.Namespace, registry: LabellerRegistry, console: Console) -> LabelPlan:
    """The plan of a command line.

    Raises:
        ConfigError: An option is missing or has another form.
    """
    if not arguments.source or not arguments.out or not (arguments.to or arguments.copy):
        raise ConfigError(
            "fourm label needs a source, --to and --out, as in: "
            + shell_command("fourm", "label", "folder:photos", "--to", ",".join(registry), "--out", "photos")
        )
    if arguments.shard < 1 or arguments.size < 0 or arguments.workers < 0:
        raise ConfigError("--shard must be 1 or more, --size and --workers 0 or more.")
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit must be 1 or more, got {arguments.limit}.")
    data, lines = parse_data(arguments.source)
    print_lines(console, lines)
    choice = LabelChoice(
        outputs=tuple(split_names(arguments.to)),
        copies=tuple(split_names(arguments.copy)),
        experts=parse_pairs("--expert", arguments.expert, "MODALITY=MODEL"),
        labellers=parse_pairs("--labeller", arguments.labeller, "MODALITY=NAME"),
        settings=parse_pairs("--set", arguments.set, "MODALITY.SETTING=VALUE"),
    )
    return make_plan(
        data.source,
        choice,
        registry,
        out=arguments.out,
        format=LabelFormat(arguments.format),
        size=arguments.size,
        skips_failures=arguments.on_error == "skip",
        num_threads=max((os.cpu_count() or 1) // arguments.workers, 1) if arguments.workers else 0,
        classes={name: read_class_names(file, data.source.path) for name, file in data.classes.items()},
    )


def parse_part(text: str) -> tuple[int, int]:
    """Number and count in ``3/8``.

    Raises:
        ConfigError: The text has another form, or the number lies outside.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--part takes NUMBER/COUNT with a number from 1 to the count, as in 3/8, got {text!r}.")
    return int(number), int(count)


def describe_plan(plan: LabelPlan) -> list[str]:
    """One line for each labeller, and its notes."""
    lines = []
    for labeller in plan.labellers:
        size = picture_size(labeller, plan.size)
        reduced = f", from pictures of at most {size} pixels on the shorter side" if size else ""
        lines.append(
            f"{labeller.output}: {labeller.description or labeller.name} ({labeller.provenance.value}){reduced}"
        )
        lines += [f"  {note}" for note in labeller.notes]
    return lines


def run_with_progress(
    plan: LabelPlan, shards: Sequence[Shard], num_workers: int, console: Console
) -> list[ShardResult]:
    """The results of all shards; a terminal shows how many are done."""
    columns = (TextColumn("shards"), MofNCompleteColumn(), TimeElapsedColumn())
    results = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("label", total=len(shards))
        for result in run_labelling(plan, shards, num_workers):
            results.append(result)
            progress.advance(task)
    return results


def summarize(plan: LabelPlan, results: list[ShardResult], console: Console) -> None:
    """Print how many labels there are, and which samples failed."""
    total = {name: sum(getattr(result, name) for result in results) for name in ("labelled", "kept", "missing")}
    failures = {name: reason for result in results for name, reason in result.failures.items()}
    words = [f"{total['labelled']:,} labels made"]
    words += [f"{total['kept']:,} were there"] * bool(total["kept"])
    words += [f"{total['missing']:,} without a label (an input is missing, or nothing was found)"] * bool(
        total["missing"]
    )
    words += [f"{len(failures):,} failed"] * bool(failures)
    print_lines(console, [f"{', '.join(words)}, in {len(results):,} shards: {plan.out}"])
    shown = list(failures.items())[:MAX_PRINTED_FAILURES]
    print_lines(console, [f"{name}: {reason}" for name, reason in shown], style="yellow")
    if len(failures) > len(shown):
        print_lines(console, [f"… and {len(failures) - len(shown):,} more, named in {plan.out}/.labels"])


def expert_lines() -> list[str]:
    """The models of transformers that `--expert` takes, by the kind of modality that they make."""
    # Networks need torch, which takes seconds to import.
    from lightning_modules.labelling.choose import known_experts

    lines = [f"  {kind}: {', '.join(types)}" for kind, types in known_experts().items()]
    return ["", "--expert MODALITY=MODEL takes models of transformers, by the kind of the modality:", *lines]


def labeller_table(registry: LabellerRegistry) -> tuple[Table, list[str]]:
    """Every labeller that can be loaded, and a line for each that cannot."""
    table = Table("labeller", "makes", "from", "labels", "license", "settings", "origin", box=None, pad_edge=False)
    loaded, problems = registry.load_all()
    for name, item in loaded.items():
        inputs = ", ".join(item.inputs)
        optional = f"any of {', '.join(item.optional_inputs)}" if item.optional_inputs else ""
        table.add_row(
            name,
            item.output,
            " and ".join(filter(None, [inputs, optional])),
            item.provenance.value,
            item.license,
            ", ".join(item.settings),
            registry.origin(name),
        )
    return table, problems
