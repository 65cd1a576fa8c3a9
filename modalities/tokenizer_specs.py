"""Specs of tokenizers: kinds, vocabularies, losses. No networks."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import ClassVar, TypeAlias, assert_never

from modalities.layouts import Dense, Embeddings, Layout, ScaleConfig, Text, Vector

UNLABELLED = -100
"""Class index of a pixel without a label in a tokenizer's input; missing measurements are NaN. No loss counts them."""


class ReconstructionLoss(Enum):
    """Reconstruction loss of a tokenizer's decoder."""

    mse = "mse"
    smooth_l1 = "smooth_l1"
    cross_entropy = "cross_entropy"
    bce = "bce"
    cosine = "cosine"


@dataclass(frozen=True, kw_only=True)
class ViTVQ:
    """A transformer encoder, a vector quantizer and a decoder (4M section 'tokenization'): for `Dense` layouts."""

    type_tag: ClassVar[str] = "vit_vq"
    layout_type: ClassVar[type[Layout]] = Dense

    name: str
    """Modalities whose tokenizers have one name share one tokenizer and one vocabulary."""
    vocab_size: int
    loss: ReconstructionLoss
    latent: int = 32
    """Width of a code vector."""
    has_diffusion_decoder: bool = False
    """True where the papers decode with a diffusion model; the run's config chooses."""


@dataclass(frozen=True, kw_only=True)
class ProductMLP:
    """A bottleneck MLP with product codes (Memcodes): for `Vector` layouts."""

    type_tag: ClassVar[str] = "product_mlp"
    layout_type: ClassVar[type[Layout]] = Vector

    name: str
    vocab_size: int
    """Codes in each codebook; a vector takes `layout.num_tokens` of them, one from each."""
    loss: ReconstructionLoss


LearnedTokenizer: TypeAlias = ViTVQ | ProductMLP
"""Families of learned tokenizers. Each has ``name``, ``vocab_size`` and ``loss``."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedCodes:
    """A learned tokenizer whose codes are spelled inside a text sequence (masks, body poses)."""

    layout: Dense | Vector
    tokenizer: LearnedTokenizer


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """The text tokenizer that all sequence modalities share."""

    type_tag: ClassVar[str] = "word_piece"
    layout_type: ClassVar[type[Layout]] = Text

    codes: EmbeddedCodes | None = None
    """The learned codes that spell a part of the value, if any."""


@dataclass(frozen=True, kw_only=True)
class NoTokenizer:
    """No tokens: vectors enter the encoder through a linear map."""

    type_tag: ClassVar[str] = "none"
    layout_type: ClassVar[type[Layout]] = Embeddings


TokenizerSpec: TypeAlias = LearnedTokenizer | WordPiece | NoTokenizer
"""All tokenizers. The ``layout_type`` of each is the type of the layouts that it reads."""


def scaled_tokenizer(spec: TokenizerSpec, scale: ScaleConfig) -> TokenizerSpec:
    """``spec`` with its codebook cut to the scale's limit. Codes inside text keep their layout, not the image's."""
    most = scale.max_vocab or 1 << 30
    if isinstance(spec, LearnedTokenizer):
        return replace(spec, vocab_size=min(spec.vocab_size, most))
    match spec:
        case WordPiece(codes=EmbeddedCodes() as codes):
            inner = replace(codes.tokenizer, vocab_size=min(codes.tokenizer.vocab_size, most))
            return replace(spec, codes=replace(codes, tokenizer=inner))
        case WordPiece() | NoTokenizer():
            return spec
        case _:
            assert_never(spec)


@dataclass(frozen=True, kw_only=True)
class TokenizerTask:
    """One tokenizer to be learned, and the modalities that share it."""

    name: str
    layout: Dense | Vector
    tokenizer: LearnedTokenizer
    members: tuple[str, ...] = field(default=())
