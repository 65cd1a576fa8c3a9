"""``fourm ablate``: run an experiment from its config to its report."""

import argparse

from rich.console import Console

from experiments.cli.options import print_lines, shell_command
from experiments.schema.load import find_config, load_config, shipped_configs
from experiments.schema.sections import NO_TRACKING


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the config and the overrides."""
    shipped = ", ".join(shipped_configs())
    parser.add_argument("config", help=f"a YAML file, or the name of a shipped one: {shipped}")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings that differ; `fourm settings` lists all"
    )


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Run what is missing of the experiment, then print its table and where its report is.

    Raises:
        UserError: The config is wrong, a stage failed, or nothing can be written.
    """
    config = load_config(find_config(arguments.config), arguments.overrides)
    # A mistake in the config is reported before the seconds that these imports take.
    from evaluation.report.formats import format_duration
    from evaluation.report.input import ReportInput
    from evaluation.report.tables import build_tables
    from evaluation.report.terminal import summary_table
    from experiments.ablation import run_ablation
    from experiments.engine.display import ProgressDisplay

    command = shell_command("fourm", "ablate", arguments.config, *arguments.overrides)
    with ProgressDisplay(console) as display:
        result = run_ablation(config, observer=display, command=command)
    report = ReportInput(
        title=config.name,
        command=command,
        data="",
        arms={arm: config.arm_modalities(arm) for arm in config.arms},
        seeds=config.seeds,
        modalities=result.modalities,
        scores=result.scores,
        resamples=config.evaluation.resamples,
    )
    console.print(summary_table(build_tables(report)))
    tracker = (
        f"none (tracking.uri={NO_TRACKING})"
        if result.uri == NO_TRACKING
        else f"{shell_command('fourm', 'ui', '--root', config.root)}   ({result.uri})"
    )
    print_lines(
        console, [f"Done in {format_duration(result.seconds)}.", f"Report:  {result.report}", f"Tracking: {tracker}"]
    )
