"""Checks of a modality's facts: its name, its layout and tokenizer, and what another scale makes of them."""

import dataclasses
import keyword
from dataclasses import replace

from modalities.conformance.subject import FULL_CROP, ContractError, ModalityUnderTest, require, shape_problem
from modalities.layouts import Dense, Embeddings, ScaleConfig, Text
from modalities.spec import SequenceModality, learned_tokenizer
from modalities.tokenizer_specs import EmbeddedCodes, ReconstructionLoss
from modalities.vocabulary import NUM_SPELLED_CODES

OTHER_SCALE = ScaleConfig(size=48, patch=8)
"""Scale that values are resampled to, beside the modality's own."""


def check_name(subject: ModalityUnderTest) -> None:
    """The name is an identifier in lower case, and there is a title."""
    name = subject.modality.name
    fits = name.isidentifier() and name == name.lower() and not keyword.iskeyword(name)
    require(fits, f"{name!r} is not a lower-case Python identifier")
    require(subject.modality.title.strip(), "the title is empty")


def check_frozen(subject: ModalityUnderTest) -> None:
    """Facts cannot be changed after the fact, and equal facts are equal."""
    try:
        setattr(subject.modality, "name", subject.modality.name)  # noqa: B010 - the point is to try
    except dataclasses.FrozenInstanceError:
        pass
    else:
        raise ContractError("its fields can be set; decorate the class with @dataclass(frozen=True, kw_only=True)")
    require(replace(subject.modality) == subject.modality, "a copy with the same fields is not equal")
    hash(subject.modality)


def check_consistency(subject: ModalityUnderTest) -> None:
    """Layout, tokenizer and class fit each other."""
    modality = subject.modality
    layout, tokenizer = modality.layout, modality.tokenizer
    expected = tokenizer.layout_type
    require(
        isinstance(layout, expected),
        f"a {type(tokenizer).__name__} tokenizer needs a {expected.__name__} layout, found {type(layout).__name__}",
    )
    is_sequence = isinstance(modality, SequenceModality)
    require(is_sequence == isinstance(layout, Text), "a Text layout and the class SequenceModality go together")
    require(not modality.has_pixel_stream or isinstance(layout, Dense), "only a Dense layout can enter as pixels")
    require(modality.num_tokens > 0, "it has no tokens")
    codes = learned_tokenizer(modality)
    if codes is not None:
        _check_learned_tokenizer(codes)
    if codes is not None and is_sequence:
        fits = codes.tokenizer.vocab_size <= NUM_SPELLED_CODES
        require(fits, f"{codes.tokenizer.vocab_size} codes inside a text, expected at most {NUM_SPELLED_CODES}")


def _check_learned_tokenizer(codes: EmbeddedCodes) -> None:
    layout, tokenizer = codes.layout, codes.tokenizer
    require(tokenizer.name.isidentifier(), f"the tokenizer's name {tokenizer.name!r} is not an identifier")
    require(tokenizer.vocab_size > 1, f"a codebook of {tokenizer.vocab_size} codes says nothing")
    require(tokenizer.vocab_size <= 1 << 32, f"a codebook of {tokenizer.vocab_size} codes, expected at most 2^32")
    if isinstance(layout, Dense):
        require(layout.size % layout.patch == 0, f"patches of {layout.patch} do not divide {layout.size} pixels")
        require(
            layout.patch % layout.pixels_per_value == 0,
            f"cells of {layout.pixels_per_value} pixels do not divide patches of {layout.patch}",
        )
        is_classes = tokenizer.loss is ReconstructionLoss.cross_entropy
        require(layout.categorical == is_classes, "class maps and the loss cross_entropy go together")


def check_scaling(subject: ModalityUnderTest) -> None:
    """At another scale it is the same modality with another layout, which its values can be resampled to."""
    full = subject.modality
    small = full.scaled(OTHER_SCALE)
    require(type(small) is type(full) and small.name == full.name, "scaled() changed what it is")
    if isinstance(small.layout, Dense):
        size = small.layout.size
        require(size == OTHER_SCALE.size, f"scaled() left the size at {size}, expected {OTHER_SCALE.size}")
    for value in subject.values:
        problem = shape_problem(small, small.transform(value, FULL_CROP))
        require(not problem, f"at {OTHER_SCALE.size} pixels transform() gave {problem}")
    short = full.scaled(replace(OTHER_SCALE, max_tokens=3, max_vocab=100))
    is_sequence = isinstance(small.layout, Text | Embeddings)
    require(not is_sequence or short.num_tokens <= 3, "scaled() ignored max_tokens")
    codes = learned_tokenizer(short)
    require(codes is None or codes.tokenizer.vocab_size <= 100, "scaled() ignored max_vocab")
