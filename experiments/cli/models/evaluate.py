"""``fourm evaluate``: measures a model's folder on held-out samples."""

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from evaluation.report.input import ReportInput
from evaluation.report.tables import build_tables
from evaluation.report.terminal import summary_table
from evaluation.scores import write_scores
from experiments.cli.options import add_model_options, print_lines
from experiments.data_source import YAML_SUFFIXES, parse_data
from experiments.model_evaluation import ModelEvaluation, evaluate_model
from experiments.schema.load import find_config, load_config
from lightning_modules.checkpoints.find import find_model
from modalities.errors import ConfigError
from modalities.sources.base import ALL_SPLITS

SCORES_FILE = "scores.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the model, the settings and the split."""
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="config or key=value",
        help="config and settings, as for `fourm ablate`; all are optional",
    )
    add_model_options(parser)
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="data to measure on: KIND:PATH, a folder, or a YAML file with a section data; "
        "if not given, what the model was trained on",
    )
    parser.add_argument("--out", type=Path, default=Path("evaluation-of-model"), help="folder of scores.json")
    parser.add_argument(
        "--split",
        choices=("test", "validation", ALL_SPLITS),
        default="test",
        help="test samples, which nothing else uses, the validation samples that arms are compared on, or all samples",
    )


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure a model, and print its table.

    Raises:
        UserError: The settings or the model do not fit.
    """
    names = [item for item in arguments.settings if "=" not in item]
    if len(names) > 1:
        raise ConfigError(f"fourm evaluate takes one config, got {', '.join(names)}.")
    overrides = [item for item in arguments.settings if "=" in item]
    config = load_config(find_config(names[0]) if names else None, overrides)
    data, lines = parse_data(arguments.data) if arguments.data else (None, [])
    if data is not None and not arguments.data.endswith(YAML_SUFFIXES):
        data = replace(data, train=config.data.train, validation=config.data.validation)
    print_lines(console, lines)
    with console.status("") as status:
        evaluation = evaluate_model(
            find_model(arguments.model, arguments.arm, arguments.model_seed),
            config,
            data=data,
            split=arguments.split,
            progress=lambda status_text: status.update(f"{status_text} ..."),
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_scores(arguments.out / SCORES_FILE, evaluation.scores)
    report = _report(str(arguments.model), evaluation, config.evaluation.resamples)
    print_lines(console, evaluation.notes, style="yellow")
    console.print(summary_table(build_tables(report)))
    print_lines(console, [f"Scores:  {arguments.out / SCORES_FILE}"])


def _report(title: str, evaluation: ModelEvaluation, resamples: int) -> ReportInput:
    """One model's scores in the form of an ablation's."""
    return ReportInput(
        title=title,
        command="fourm evaluate",
        data=evaluation.data,
        arms={evaluation.model_ref.arm: list(evaluation.modalities)},
        seeds=[evaluation.model_ref.seed],
        modalities=evaluation.modalities,
        scores=evaluation.scores,
        resamples=resamples,
    )
