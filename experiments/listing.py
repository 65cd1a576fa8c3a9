"""The table of modalities, for a terminal."""

from typing import assert_never

from rich.table import Table

from evaluation.tables import tokens_of
from modalities.errors import UserError
from modalities.registry import Registry
from modalities.spec import Linear, Modality, ProductMLP, SequenceModality, ViTVQ, WordPiece


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
                tokenizer_words(item),
                vocabulary_words(item),
                tokens_of(item),
                ", ".join(item.metrics()),
                item.provenance.value,
                registry.origin(name),
            )
        except UserError as error:
            problems.append(str(error))
    return table, problems


def tokenizer_words(modality: Modality) -> str:
    """A modality's tokenizer, in words."""
    match modality.tokenizer:
        case ViTVQ(name=name, diffusible=True):
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
        case Linear():
            return "none: linear input"
        case _:
            assert_never(modality.tokenizer)


def vocabulary_words(modality: Modality) -> str:
    """The size of a modality's vocabulary."""
    match modality.tokenizer:
        case ViTVQ(vocab=vocab) | ProductMLP(vocab=vocab):
            return f"{vocab:,}"
        case WordPiece():
            assert isinstance(modality, SequenceModality)
            return "text, up to 30,000"
        case Linear():
            return "–"
        case _:
            assert_never(modality.tokenizer)
