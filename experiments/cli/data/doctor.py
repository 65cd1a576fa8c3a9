"""``fourm doctor``: examines a data source before anything is trained on it."""

import argparse
from pathlib import Path

from rich.console import Console

from experiments.cli.options import parse_pairs, print_lines, split_names
from experiments.doctor.examine import Diagnosis, examine
from experiments.doctor.findings import Severity
from experiments.doctor.page import choose_samples, render_samples, write_page
from experiments.doctor.subject import open_subject
from experiments.doctor.terminal import diagnosis_json, failure_json, print_diagnosis, summary_line
from modalities.errors import ConfigError, DataError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the source and what is examined of it."""
    parser.add_argument("source", help="KIND:PATH (folder:photos, webdataset:tars), a folder, or a config")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of the run, as for `fourm ablate`")
    parser.add_argument("--modalities", default="", help="names or presets, joined by commas; if not given, all it has")
    parser.add_argument("--scale", default="", help="settings of the scale, such as size=64,patch=8")
    parser.add_argument("--limit", type=int, help="most samples of each split to read, at even steps")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write pictures of samples: a row for each")
    parser.add_argument(
        "--rows", type=int, default=48, help="samples on the page beside those with errors or warnings, at even steps"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Examine a source, and print what was found.

    Raises:
        UserError: There is no such source, the settings do not fit, or an error was found in the data.
    """
    for option in ("limit", "rows"):
        if (number := getattr(arguments, option)) is not None and number < 1:
            raise ConfigError(f"--{option} must be at least 1, got {number}.")
    try:
        diagnosis = _examine(arguments)
    except DataError as error:
        if arguments.json:
            print_lines(console, [failure_json(error)])
        raise
    if arguments.json:
        print_lines(console, [diagnosis_json(diagnosis)])
    else:
        print_diagnosis(console, diagnosis)
        print_lines(console, [f"Page: {arguments.page}"] if arguments.page else [])
    if diagnosis.of_severity(Severity.error):
        raise DataError(f"{summary_line(diagnosis)}.")


def _examine(arguments: argparse.Namespace) -> Diagnosis:
    """Examine the source, and write the page."""
    subject = open_subject(
        arguments.source,
        arguments.settings,
        split_names(arguments.modalities),
        parse_pairs("--scale", split_names(arguments.scale)),
    )
    # Standard output is the result's alone, which may go to a program.
    with Console(stderr=True).status("") as status:
        diagnosis = examine(subject, arguments.limit, progress=lambda text: status.update(f"{text} ..."))
    if arguments.page:
        rows = render_samples(diagnosis, choose_samples(diagnosis, arguments.rows))
        write_page(arguments.page, diagnosis, rows)
    return diagnosis
