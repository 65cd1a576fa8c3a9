"""The command line: a table of commands, each a module of its own that is imported when it is called.

A user's mistake is one line and exit status 1.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from rich.console import Console
from rich.logging import RichHandler

from modalities.errors import UserError

COMMANDS = {
    "ablations": {
        "ablate": "run an experiment, one arm or several, to its report",
        "settings": "list every setting of an experiment, its default and its meaning",
        "ui": "open the tracking UI: mlflow ui on 127.0.0.1",
    },
    "models": {
        "predict": "predict modalities from an image file",
        "embed": "embed a data set, to a file that can be searched",
        "retrieve": "find the samples of an embedded data set that are nearest to a query",
        "generate": "generate any modalities from any others, whole or in part",
        "evaluate": "measure a model on held-out samples",
        "import-checkpoint": "make a model's folder out of a published 4M checkpoint",
        "export-checkpoint": "write a model in the published format",
    },
    "data": {
        "doctor": "examine a data source: what it holds, and what would stop or spoil a training",
        "label": "fill in modalities of a data set from others",
        "tokenize": "turn a data source into tokens by a trained model's tokenizers",
    },
    "plugins": {
        "modalities": "list the modalities that are built in or installed",
    },
}
"""Commands and their help by package; the module of each has `add_options(parser)` and `run(arguments, console)`."""

ALIASES = {"train": "ablate"}

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses after Ctrl-C and after SIGTERM, as shells have them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    # A table that goes to a file or a pipe need not fit a window; a name such as coco:one: is not a picture.
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160, emoji=False)
    errors = Console(stderr=True, emoji=False)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False)]
    )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments.run(arguments, console)
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


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line. Only the module of the chosen command is imported; it adds its options."""
    parser = argparse.ArgumentParser(prog="fourm", description="Train and compare any-to-any multimodal models (4M).")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # The parser before the commands has no options that take a value, so the first word is the command.
    first = next((word for word in argv if not word.startswith("-")), "")
    chosen = ALIASES.get(first, first)
    for name, help_text in all_commands().items():
        aliases = [alias for alias, target in ALIASES.items() if target == name]
        command = commands.add_parser(name, aliases=aliases, help=help_text, description=_sentence(help_text))
        if name == chosen:
            module = command_module(name)
            module.add_options(command)
            command.set_defaults(run=module.run)
    return parser.parse_args(argv)


def all_commands() -> dict[str, str]:
    """Every command and its help."""
    return {name: help_text for commands in COMMANDS.values() for name, help_text in commands.items()}


def command_module(name: str) -> ModuleType:
    """The module of a command, imported now."""
    package = next(package for package, commands in COMMANDS.items() if name in commands)
    return import_module(f"experiments.cli.{package}.{name.replace('-', '_')}")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


class _Terminated(BaseException):
    """SIGTERM as an exception, so that every cleanup on the way up runs."""


def _terminate(*_: object) -> None:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
