"""``fourm export-checkpoint``: a model in the published format."""

import argparse
from pathlib import Path

from rich.console import Console

from experiments.cli.options import add_model_options, print_lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the model and the folder to make."""
    add_model_options(parser, is_positional=True)
    parser.add_argument("out", type=Path, help="the folder to make")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Export the model.

    Raises:
        UserError: The published format cannot hold this model.
    """
    from lightning_modules.checkpoints.export_published import export_checkpoint

    print_lines(console, export_checkpoint(arguments.model, arguments.out, arguments.arm, arguments.model_seed))
