"""``fourm ui``: the pages of the tracking server."""

import argparse
from pathlib import Path

from rich.console import Console

from experiments.cli.options import print_lines
from experiments.tracking import serve_ui, tracking_uri

HOST = "127.0.0.1"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the store and the port."""
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of runs whose database is shown")
    parser.add_argument("--uri", help="another tracking URI than the database below the root")
    parser.add_argument("--port", type=int, default=5000, help="port of the pages, on this machine alone")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Serve the pages until Ctrl-C.

    Raises:
        DataError: There is no such store, or the port is taken.
    """
    uri = tracking_uri(arguments.root, arguments.uri)
    # MLflow opens on pages for language models, where none of our runs is. The first experiment made has number 1.
    runs = "/#/experiments/1/runs?workflowType=machine_learning" if arguments.uri is None else ""
    print_lines(
        console,
        [
            f"http://{HOST}:{arguments.port}{runs}   (Ctrl-C ends it)",
            "The runs are under 'Model training', at the upper left.",
        ],
    )
    serve_ui(uri, HOST, arguments.port)
