"""Checks of a modality's facts: its name, its layout and tokenizer, and what another scale makes of them."""

import dataclasses
import keyword
from dataclasses import replace

from modalities.conformance.subject import ContractError, Subject, expect
from modalities.spec import (
    Codes,
    Dense,
    Embeddings,
    Linear,
    Loss,
    ProductMLP,
    SequenceModality,
    Text,
    Vector,
    ViTVQ,
    WordPiece,
    learnt,
)


def is_named_well(subject: Subject) -> None:
    """The name is an identifier in lower case, and there is a title."""
    name = subject.declared.name
    fits = name.isidentifier() and name == name.lower() and not keyword.iskeyword(name)
    expect(fits, f"{name!r} is not a lower-case Python identifier")
    expect(subject.declared.title.strip(), "the title is empty")


def is_frozen(subject: Subject) -> None:
    """Facts cannot be changed after the fact, and equal facts are equal."""
    try:
        setattr(subject.declared, "name", subject.declared.name)  # noqa: B010 - the point is to try
    except dataclasses.FrozenInstanceError:
        pass
    else:
        raise ContractError("its fields can be set; decorate the class with @dataclass(frozen=True, kw_only=True)")
    expect(replace(subject.declared) == subject.declared, "a copy with the same fields is not equal")
    hash(subject.declared)


def agrees_with_itself(subject: Subject) -> None:
    """Layout, tokenizer and class fit each other, at both scales."""
    for modality in (subject.declared, subject.modality):
        layout, tokenizer = modality.layout, modality.tokenizer
        pairs = {Dense: ViTVQ, Vector: ProductMLP, Text: WordPiece, Embeddings: Linear}
        wanted = pairs[type(layout)]
        expect(isinstance(tokenizer, wanted), f"a {type(layout).__name__} layout needs a {wanted.__name__} tokenizer")
        is_spelled = isinstance(modality, SequenceModality)
        expect(is_spelled == isinstance(layout, Text), "a Text layout and the class SequenceModality go together")
        expect(not modality.pixels or isinstance(layout, Dense), "only a Dense layout can enter as pixels")
        expect(modality.num_tokens > 0, "it has no tokens")
        codes = learnt(modality)
        if codes is not None:
            _codes_agree(codes)


def _codes_agree(codes: Codes) -> None:
    layout, tokenizer = codes.layout, codes.tokenizer
    expect(tokenizer.name.isidentifier(), f"the tokenizer's name {tokenizer.name!r} is not an identifier")
    expect(tokenizer.vocab > 1, f"a codebook of {tokenizer.vocab} codes says nothing")
    if isinstance(layout, Dense):
        expect(layout.size % layout.patch == 0, f"patches of {layout.patch} do not divide {layout.size} pixels")
        expect(
            layout.patch % layout.cell == 0, f"cells of {layout.cell} pixels do not divide patches of {layout.patch}"
        )
        is_classes = tokenizer.loss is Loss.cross_entropy
        expect(layout.categorical == is_classes, "class maps and the loss cross_entropy go together")


def scales(subject: Subject) -> None:
    """At another scale it is the same modality with another layout, within the scale's limits."""
    small, scale = subject.modality, subject.scale
    expect(type(small) is type(subject.declared) and small.name == subject.declared.name, "at() changed what it is")
    if isinstance(small.layout, Dense):
        expect(small.layout.size == scale.size, f"at() left the size at {small.layout.size}, expected {scale.size}")
    short = subject.declared.at(replace(scale, max_tokens=3, max_vocab=100))
    is_sequence = isinstance(small.layout, Text | Embeddings)
    expect(not is_sequence or short.num_tokens <= 3, "at() ignored max_tokens")
    codes = learnt(short)
    expect(codes is None or codes.tokenizer.vocab <= 100, "at() ignored max_vocab")
