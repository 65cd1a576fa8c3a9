"""``fourm import-checkpoint``: a model's folder out of a published checkpoint."""

import argparse
from pathlib import Path

from rich.console import Console

from experiments.cli.options import parse_pairs, print_lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the checkpoint, its tokenizers and the folder to make."""
    parser.add_argument("checkpoint", help="a .safetensors file, a folder, or a Hugging Face repository id")
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument("--text-tokenizer", type=Path, help="the published tokenizer.json of the text vocabulary")
    parser.add_argument(
        "--tokenizer",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a published tokenizer, by the name of its modality; as often as there are",
    )


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Import the checkpoint.

    Raises:
        UserError: An option has the wrong form, or the checkpoint cannot be read.
    """
    tokenizers = parse_pairs("--tokenizer", arguments.tokenizer, "NAME=PATH")
    from lightning_modules.checkpoints.import_published import ImportOptions, import_checkpoint

    options = ImportOptions(text_tokenizer=arguments.text_tokenizer, tokenizers=tokenizers)
    print_lines(console, import_checkpoint(arguments.checkpoint, arguments.out, options))
