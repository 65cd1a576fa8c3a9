"""``fourm modalities``: what is built in or installed, as a table."""

import argparse
from typing import assert_never

from rich.console import Console
from rich.table import Table

from evaluation.report.formats import describe_tokens
from experiments.cli.options import print_lines
from modalities.errors import UserError
from modalities.registry import Registry, default_registry
from modalities.spec import Modality, SequenceModality
from modalities.tokenizer_specs import NoTokenizer, ProductMLP, ViTVQ, WordPiece


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes no options."""


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Print the table, and a line for each modality that cannot be loaded."""
    table, problems = modality_table(default_registry())
    console.print(table)
    print_lines(console, problems, style="yellow")


def modality_table(registry: Registry) -> tuple[Table, list[str]]:
    """Every modality at its published scale, and a line for each that cannot be loaded."""
    table = Table(
        "name", "data type", "tokenizer", "vocabulary", "tokens", "metrics", "labels", "from", box=None, pad_edge=False
    )
    problems: list[str] = []
    for name in registry:
        try:
            item = registry[name]
            table.add_row(
                name,
                item.data_type,
                describe_tokenizer(item),
                describe_vocabulary(item),
                describe_tokens(item),
                ", ".join(map(str, item.metrics())),
                item.provenance.value,
                registry.origin(name),
            )
        except UserError as error:
            problems.append(str(error))
    return table, problems


def describe_tokenizer(modality: Modality) -> str:
    """A modality's tokenizer, in words."""
    match modality.tokenizer:
        case ViTVQ(name=name, has_diffusion_decoder=True):
            return f"ViT-VQ {name} (plain or diffusion decoder)"
        case ViTVQ(name=name):
            return f"ViT-VQ {name}"
        case ProductMLP(name=name):
            return f"MLP with product codes {name}"
        case WordPiece(codes=None):
            return "WordPiece"
        case WordPiece(codes=codes):
            assert codes is not None
            return f"WordPiece with codes of {codes.tokenizer.name}"
        case NoTokenizer():
            return "none: linear input"
        case _:
            assert_never(modality.tokenizer)


def describe_vocabulary(modality: Modality) -> str:
    """The size of a modality's vocabulary."""
    match modality.tokenizer:
        case ViTVQ(vocab_size=vocab_size) | ProductMLP(vocab_size=vocab_size):
            return f"{vocab_size:,}"
        case WordPiece():
            assert isinstance(modality, SequenceModality)
            return "text, up to 30,000"
        case NoTokenizer():
            return "–"
        case _:
            assert_never(modality.tokenizer)
