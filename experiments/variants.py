"""What a published model's streams are here: installed modalities at the checkpoint's own sizes."""

from collections.abc import Mapping
from dataclasses import replace

from lightning_modules.checkpoint import Variant
from modalities.errors import CheckpointError
from modalities.registry import Registry
from modalities.spec import (
    Codes,
    Dense,
    Embeddings,
    Modality,
    ProductMLP,
    Text,
    TokenizerSpec,
    TokenizerTask,
    Vector,
    ViTVQ,
    WordPiece,
    learnt,
)
from networks.pretrained.names import split_name
from networks.streams import PIXELS, Stream, StreamKind


def variants_of(streams: tuple[Stream, ...], registry: Registry) -> dict[str, Variant]:
    """A variant of each modality that has a stream, by its name."""
    found: dict[str, Variant] = {}
    for stream in streams:
        name = stream.name.removesuffix(PIXELS)
        if stream.kind is not StreamKind.pixels or not any(item.name == name for item in streams):
            base = split_name(stream.published)[0].modality
            found[name] = _variant(stream, base, registry[base])
    return found


def with_tokenizer(variant: Variant, task: TokenizerTask) -> Variant:
    """The variant as a tokenizer reads it, which knows channels and patches better than the installed modality."""
    match variant.tokenizer:
        case WordPiece():
            return replace(variant, tokenizer=WordPiece(codes=Codes(layout=task.layout, tokenizer=task.tokenizer)))
        case _:
            return replace(variant, layout=task.layout, tokenizer=task.tokenizer)


def tokenizer_name(name: str, variants: Mapping[str, Variant], registry: Registry) -> str:
    """The tokenizer that a person means by its own name or by a modality's.

    Raises:
        CheckpointError: The model has neither.
    """
    known = {item: task.tokenizer.name for item in variants if (task := learnt(_at(variants[item], item, registry)))}
    if name in known:
        return known[name]
    if name in known.values():
        return name
    choices = ", ".join(sorted({*known, *known.values()}))
    raise CheckpointError(f"--tokenizer {name}=...: this model has no such tokenizer; it can take {choices}.")


def members_of(tokenizer: str, variants: Mapping[str, Variant], registry: Registry) -> list[str]:
    """The modalities that one tokenizer serves."""
    parts = {name: learnt(_at(variant, name, registry)) for name, variant in variants.items()}
    return [name for name, part in parts.items() if part is not None and part.tokenizer.name == tokenizer]


def check_fit(task: TokenizerTask, stream: Stream) -> None:
    """Check that a tokenizer writes the tokens that a stream's model reads.

    Raises:
        CheckpointError: It has another vocabulary, or another number of tokens.
    """
    if stream.kind is not StreamKind.grid:
        return
    found, expected = (task.tokenizer.vocab, task.layout.num_tokens), (stream.vocab, stream.num_tokens)
    if found != expected:
        raise CheckpointError(
            f"The tokenizer of {stream.name!r} writes {found[1]} tokens out of {found[0]}; "
            f"this model reads {expected[1]} out of {expected[0]}."
        )


def _at(variant: Variant, name: str, registry: Registry) -> Modality:
    return replace(registry[variant.base], name=name, layout=variant.layout, tokenizer=variant.tokenizer)


def _variant(stream: Stream, base: str, modality: Modality) -> Variant:
    tokenizer: TokenizerSpec = modality.tokenizer
    match modality.layout:
        case Dense() as dense:
            patch = stream.patch or split_name(stream.published)[0].patch
            cell = patch if dense.cell > 1 else 1
            layout: Dense | Vector | Text | Embeddings = replace(
                dense, size=stream.grid * patch, patch=patch, cell=cell
            )
        case Vector() as vector:
            layout = replace(vector, num_tokens=stream.num_tokens)
        case Text() as text:
            layout = replace(text, max_tokens=stream.num_tokens)
        case Embeddings() as vectors:
            layout = replace(vectors, channels=stream.channels, max_tokens=stream.num_tokens)
    if isinstance(tokenizer, ViTVQ | ProductMLP):
        tokenizer = replace(tokenizer, vocab=stream.vocab or tokenizer.vocab)
    return Variant(base=base, layout=layout, tokenizer=tokenizer)
