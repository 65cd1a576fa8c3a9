"""The command line. A user's mistake is one line and exit status 1; each command imports what it needs."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from experiments.cli.generate_options import add_generate_options, generation_progress, parse_request
from modalities.errors import ConfigError, UserError

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses after Ctrl-C and after SIGTERM, as shells have them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; answers with the exit status."""
    arguments = _parser().parse_args(argv)
    # A table that goes to a file or a pipe need not fit a window.
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
    errors = Console(stderr=True)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False)]
    )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        command: Callable[[argparse.Namespace, Console], None] = arguments.command
        command(arguments, console)
    except UserError as error:
        errors.print(f"fourm: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except OSError as error:
        location = f"{error.filename}: " if error.filename else ""
        errors.print(f"fourm: {location}{error.strerror or error}.", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        errors.print("Interrupted. The same command resumes from the finished stages.", highlight=False)
        return INTERRUPTED
    except _Terminated:
        return TERMINATED
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that everything is put away on its way up."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fourm", description="Train and compare any-to-any multimodal models (4M).")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ablate = commands.add_parser(
        "ablate", aliases=["train"], help="run an experiment, one arm or several, to its report"
    )
    ablate.add_argument("config", help="a YAML file, or the name of a shipped one: quickstart, lab, fourm_7, fourm_21")
    ablate.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings that differ; `fourm settings` lists all"
    )
    ablate.set_defaults(command=_ablate)

    modalities = commands.add_parser("modalities", help="list the modalities that are built in or installed")
    modalities.set_defaults(command=_modalities)

    settings = commands.add_parser("settings", help="list every setting of an experiment, its default and its meaning")
    settings.add_argument("prefix", nargs="?", default="", help="only settings that start with this")
    settings.set_defaults(command=_settings)

    predict = commands.add_parser("predict", help="predict modalities from an image file")
    predict.add_argument("image", type=Path)
    predict.add_argument(
        "--model", type=Path, required=True, help="a model's folder, or an ablation's (runs/quickstart)"
    )
    predict.add_argument("--to", required=True, help="what to predict, as in depth,semseg,caption,boxes")
    predict.add_argument("--arm", help="arm of an ablation; its last, if not given")
    predict.add_argument("--model-seed", type=int, help="seed of an ablation; its last, if not given")
    predict.add_argument("--out", type=Path, default=Path("prediction"), help="folder of the results")
    predict.set_defaults(command=_predict)

    _add_checkpoint_commands(commands)

    evaluate = commands.add_parser("evaluate", help="measure a model on held-out scenes")
    evaluate.add_argument(
        "settings", nargs="*", metavar="config or key=value", help="as of `ablate`; all may be left out"
    )
    evaluate.add_argument(
        "--model", type=Path, required=True, help="a model's folder, or an ablation's (runs/quickstart)"
    )
    evaluate.add_argument("--arm", help="arm of an ablation; its last, if not given")
    evaluate.add_argument("--model-seed", type=int, help="seed of an ablation; its last, if not given")
    evaluate.add_argument("--out", type=Path, default=Path("evaluation-of-model"), help="folder of scores.json")
    evaluate.add_argument(
        "--split", choices=("test", "validation"), default="test", help="scenes of test, or those that arms compare by"
    )
    evaluate.set_defaults(command=_evaluate)

    generate = commands.add_parser("generate", help="generate any modalities from any others, whole or in part")
    add_generate_options(generate)
    generate.set_defaults(command=_generate)

    ui = commands.add_parser("ui", help="open the tracking UI: mlflow ui on 127.0.0.1")
    ui.add_argument("--root", type=Path, default=Path("runs"))
    ui.add_argument("--uri", help="another tracking URI than the database below the root")
    ui.add_argument("--port", type=int, default=5000)
    ui.set_defaults(command=_ui)
    return parser


def _add_checkpoint_commands(commands: Any) -> None:
    """The commands that exchange models with the published format; argparse has no public type for ``commands``."""
    import_parser = commands.add_parser(
        "import-checkpoint", help="make a model's folder out of a published 4M checkpoint"
    )
    import_parser.add_argument("checkpoint", help="a .safetensors file, a folder, or a Hugging Face repository id")
    import_parser.add_argument("out", type=Path, help="the folder to make")
    import_parser.add_argument(
        "--text-tokenizer", type=Path, help="the published tokenizer.json of the text vocabulary"
    )
    import_parser.add_argument(
        "--tokenizer",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a published tokenizer, by the name of its modality; as often as there are",
    )
    import_parser.set_defaults(command=_import)

    export_parser = commands.add_parser("export-checkpoint", help="write a model in the published format")
    export_parser.add_argument("model", type=Path, help="a model's folder, or an ablation's (runs/quickstart)")
    export_parser.add_argument("out", type=Path, help="the folder to make")
    export_parser.add_argument("--arm", help="arm of an ablation; its last, if not given")
    export_parser.add_argument("--model-seed", type=int, help="seed of an ablation; its last, if not given")
    export_parser.set_defaults(command=_export)


def _ablate(arguments: argparse.Namespace, console: Console) -> None:
    from evaluation.report.plots import duration
    from experiments.schema.load import find_config, load_config

    config = load_config(find_config(arguments.config), arguments.overrides)
    from experiments.ablation import run_ablation
    from experiments.tracking import NO_TRACKING

    command = " ".join(["fourm ablate", arguments.config, *arguments.overrides])
    result = run_ablation(config, console, command)
    console.print(result.table)
    console.print(f"Done in {duration(result.seconds)}.", highlight=False)
    console.print(f"Report:  {result.report}", highlight=False, soft_wrap=True)
    tracker = (
        f"none (tracking.uri={NO_TRACKING})"
        if result.uri == NO_TRACKING
        else f"fourm ui --root {config.root}   ({result.uri})"
    )
    console.print(f"Tracking: {tracker}", highlight=False, soft_wrap=True)


def _modalities(arguments: argparse.Namespace, console: Console) -> None:
    from experiments.cli.modalities import modality_table
    from modalities.registry import default_registry

    table, problems = modality_table(default_registry())
    console.print(table)
    for problem in problems:
        console.print(problem, style="yellow", markup=False, highlight=False)


def _settings(arguments: argparse.Namespace, console: Console) -> None:
    from rich.table import Table

    from experiments.schema.describe import describe_settings

    table = Table("setting", "default", "meaning", box=None, pad_edge=False)
    for key, default, meaning in describe_settings():
        if key.startswith(arguments.prefix):
            table.add_row(key, default, meaning)
    console.print(table)


def _predict(arguments: argparse.Namespace, console: Console) -> None:
    from experiments.cli.predict import predict_image

    targets = [name.strip() for name in arguments.to.split(",") if name.strip()]
    output = predict_image(
        arguments.image, arguments.model, targets, arguments.out, arm=arguments.arm, seed=arguments.model_seed
    )
    for line in output.lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if output.warning:
        console.print(output.warning, style="yellow", highlight=False, soft_wrap=True)


def _import(arguments: argparse.Namespace, console: Console) -> None:
    from lightning_modules.checkpoints.import_published import ImportOptions, import_checkpoint

    pairs = [item.partition("=") for item in arguments.tokenizer]
    for name, _, path in pairs:
        if not (name and path):
            raise ConfigError(f"--tokenizer takes NAME=PATH, got {name!r}.")
    options = ImportOptions(text_tokenizer=arguments.text_tokenizer, tokenizers={name: path for name, _, path in pairs})
    for line in import_checkpoint(arguments.checkpoint, arguments.out, options):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    from lightning_modules.checkpoints.export_published import export_checkpoint

    for line in export_checkpoint(arguments.model, arguments.out, arguments.arm, arguments.model_seed):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _evaluate(arguments: argparse.Namespace, console: Console) -> None:
    from experiments.schema.load import find_config, load_config

    names = [item for item in arguments.settings if "=" not in item]
    if len(names) > 1:
        raise ConfigError(f"fourm evaluate takes one config, got {', '.join(names)}.")
    overrides = [item for item in arguments.settings if "=" in item]
    config = load_config(find_config(names[0]) if names else None, overrides)
    from experiments.cli.evaluate import evaluate_model

    with console.status("") as status:
        evaluation = evaluate_model(
            arguments.model,
            config,
            arguments.out,
            arm=arguments.arm,
            seed=arguments.model_seed,
            split=arguments.split,
            progress=lambda status_text: status.update(f"{status_text} ..."),
        )
    for line in evaluation.lines:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(evaluation.table)
    console.print(f"Scores:  {evaluation.scores}", highlight=False, soft_wrap=True)


def _generate(arguments: argparse.Namespace, console: Console) -> None:
    from experiments.cli.generate import generate_files

    with generation_progress(console) as progress:
        output = generate_files(
            parse_request(arguments),
            arguments.model,
            arguments.out,
            progress,
            arm=arguments.arm,
            seed=arguments.model_seed,
        )
    for line in output.lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(output.warning, style="yellow", highlight=False)


def _ui(arguments: argparse.Namespace, console: Console) -> None:
    from experiments.tracking import serve_ui, tracking_uri

    uri = tracking_uri(arguments.root, arguments.uri)
    # MLflow opens on pages for language models, where none of our runs is. The first experiment made has number 1.
    runs = "/#/experiments/1/runs?workflowType=machine_learning" if arguments.uri is None else ""
    location = f"http://127.0.0.1:{arguments.port}{runs}"
    console.print(f"{location}   (Ctrl-C ends it)", highlight=False, soft_wrap=True)
    console.print("The runs are under 'Model training', at the upper left.", highlight=False)
    serve_ui(uri, "127.0.0.1", arguments.port)


if __name__ == "__main__":
    sys.exit(main())
