"""The modalities of a published model: installed ones at the checkpoint's own sizes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from modalities.errors import CheckpointError
from modalities.layouts import Dense, Embeddings, Layout, ScaleConfig, Text, Vector
from modalities.registry import Registry
from modalities.spec import Modality, learned_tokenizer
from modalities.storage.serialization import from_plain
from modalities.tokenizer_specs import EmbeddedCodes, LearnedTokenizer, TokenizerSpec, TokenizerTask, WordPiece
from modalities.variants import ModalityVariant
from networks.pretrained.names import parse_published_name
from networks.streams import EmbeddingStream, GridStream, PixelStream, Stream, TokenStream


def build_variants(streams: tuple[Stream, ...], registry: Registry) -> dict[str, ModalityVariant]:
    """A variant of each modality that has a stream, by name."""
    found: dict[str, ModalityVariant] = {}
    for stream in streams:
        name = stream.modality
        if not isinstance(stream, PixelStream) or not any(item.name == name for item in streams):
            base = parse_published_name(stream.published_name)[0].modality
            found[name] = _build_variant(stream, base, registry[base])
    return found


def read_variants(
    metadata: Mapping[str, Any], registry: Registry
) -> tuple[tuple[str, ...], ScaleConfig, dict[str, ModalityVariant]]:
    """The modalities, the scale and the variants in the metadata of an exported checkpoint; all modalities get one.

    Raises:
        CheckpointError: The metadata do not hold them.
    """
    try:
        names = tuple(str(name) for name in metadata["modalities"])
        scale = from_plain(ScaleConfig, metadata["scale"])
        variants = {name: from_plain(ModalityVariant, item) for name, item in metadata["variants"].items()}
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"The checkpoint does not describe its modalities: {error}.") from error
    for name in names:
        if name not in variants:
            modality = registry[name].scaled(scale)
            variants[name] = ModalityVariant(base=name, layout=modality.layout, tokenizer=modality.tokenizer)
    return names, scale, variants


def with_tokenizer(variant: ModalityVariant, task: TokenizerTask) -> ModalityVariant:
    """The variant with the channels and patches of its tokenizer, which the model's config does not state."""
    match variant.tokenizer:
        case WordPiece():
            return replace(
                variant, tokenizer=WordPiece(codes=EmbeddedCodes(layout=task.layout, tokenizer=task.tokenizer))
            )
        case _:
            return replace(variant, layout=task.layout, tokenizer=task.tokenizer)


def resolve_tokenizer_name(name: str, variants: Mapping[str, ModalityVariant], registry: Registry) -> str:
    """The name of a tokenizer, given itself or the name of a modality.

    Raises:
        CheckpointError: The model has neither.
    """
    known = {
        item: task.tokenizer.name
        for item in variants
        if (task := learned_tokenizer(variants[item].build_modality(item, registry)))
    }
    if name in known:
        return known[name]
    if name in known.values():
        return name
    choices = ", ".join(sorted({*known, *known.values()}))
    raise CheckpointError(f"--tokenizer {name}=...: this model has no such tokenizer; it can take {choices}.")


def tokenizer_members(tokenizer: str, variants: Mapping[str, ModalityVariant], registry: Registry) -> list[str]:
    """The modalities that one tokenizer serves."""
    parts = {name: learned_tokenizer(variant.build_modality(name, registry)) for name, variant in variants.items()}
    return [name for name, part in parts.items() if part is not None and part.tokenizer.name == tokenizer]


def check_tokenizer_fits(task: TokenizerTask, stream: Stream) -> None:
    """Check that the vocabulary and length of a tokenizer are a stream's.

    Raises:
        CheckpointError: It has another vocabulary, or another number of tokens.
    """
    if not isinstance(stream, GridStream):
        return
    found, expected = (task.tokenizer.vocab_size, task.layout.num_tokens), (stream.vocab_size, stream.num_tokens)
    if found != expected:
        raise CheckpointError(
            f"The tokenizer of {stream.name!r} writes {found[1]} tokens out of {found[0]}; "
            f"this model reads {expected[1]} out of {expected[0]}."
        )


def _build_variant(stream: Stream, base: str, modality: Modality) -> ModalityVariant:
    tokenizer: TokenizerSpec = modality.tokenizer
    match modality.layout:
        case Dense() as dense:
            assert isinstance(stream, GridStream | PixelStream)
            assert stream.grid is not None
            patch = (
                stream.patch
                if isinstance(stream, PixelStream)
                else parse_published_name(stream.published_name)[0].patch
            )
            pixels_per_value = patch if dense.pixels_per_value > 1 else 1
            layout: Layout = replace(dense, size=stream.grid * patch, patch=patch, pixels_per_value=pixels_per_value)
        case Vector() as vector:
            layout = replace(vector, num_tokens=stream.num_tokens)
        case Text() as text:
            layout = replace(text, max_tokens=stream.num_tokens)
        case Embeddings() as vectors:
            assert isinstance(stream, EmbeddingStream)
            layout = replace(vectors, channels=stream.channels, max_tokens=stream.num_tokens)
        case _:
            assert_never(modality.layout)
    if isinstance(tokenizer, LearnedTokenizer) and isinstance(stream, TokenStream):
        tokenizer = replace(tokenizer, vocab_size=stream.vocab_size)
    return ModalityVariant(base=base, layout=layout, tokenizer=tokenizer)
