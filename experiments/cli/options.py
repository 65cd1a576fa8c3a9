"""Options that several commands share, and the forms that their values take."""

import argparse
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from modalities.errors import ConfigError


def add_model_options(parser: argparse.ArgumentParser, *, is_positional: bool = False) -> None:
    """Add the choice of a model: its folder or an ablation's, and the arm and seed in an ablation."""
    help_text = "a model's folder, or an ablation's (runs/quickstart)"
    if is_positional:
        parser.add_argument("model", type=Path, help=help_text)
    else:
        parser.add_argument("--model", type=Path, required=True, help=help_text)
    parser.add_argument("--arm", help="arm of an ablation; if not given, the last one in its config")
    parser.add_argument(
        "--model-seed", type=int, help="seed of an ablation's model; if not given, the last in its config"
    )


def split_names(text: str) -> list[str]:
    """The names in ``"depth, semseg"``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_pairs(option: str, items: Sequence[str], form: str = "NAME=VALUE") -> dict[str, str]:
    """Values by name, of an option that is given as ``NAME=VALUE`` any number of times.

    Raises:
        ConfigError: An item has another form, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not (name and separator and value):
            raise ConfigError(f"{option} takes {form}, got {item!r}.")
        if name in pairs:
            raise ConfigError(f"{option} gives {name!r} twice.")
        pairs[name] = value
    return pairs


def shell_command(*words: object) -> str:
    """A command line that can be pasted into a shell."""
    return shlex.join(str(word) for word in words)


def print_lines(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    """Print lines as they are: no markup, no highlighting, no wrapping of paths."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
