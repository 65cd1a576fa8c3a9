"""``fourm settings``: every setting of an experiment."""

import argparse

from rich.console import Console
from rich.table import Table

from experiments.schema.describe import describe_settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the prefix."""
    parser.add_argument("prefix", nargs="?", default="", help="only settings that start with this")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Print the settings, their defaults and their meaning."""
    table = Table("setting", "default", "meaning", box=None, pad_edge=False)
    for key, default, meaning in describe_settings():
        if key.startswith(arguments.prefix):
            table.add_row(key, default, meaning)
    console.print(table)
