"""Layouts of values (grids, vectors, texts, embeddings), and the scale of a run."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar, TypeAlias, assert_never

from modalities.errors import ConfigError


class KeepScheme(Enum):
    """Distribution of the fraction of a sequence that stays visible (4M's span masking)."""

    random = "random"
    """Uniform in (0, 1)."""
    all = "all"
    """Everything, as far as the budget goes."""
    binary = "binary"
    """Everything or nothing, at even odds."""


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """Scale of a run: resolution, patch, and upper limits on the published sizes."""

    size: int = 224
    """Side of the image, in pixels."""
    patch: int = 16
    """Side of the square that one token covers, in pixels."""
    max_channels: int | None = None
    """Most channels of a feature modality; None leaves the published widths."""
    max_vocab: int | None = None
    """Most codes in one codebook; None leaves the published sizes."""
    max_tokens: int | None = None
    """Longest sequence, in tokens; None leaves the published lengths."""

    def __post_init__(self) -> None:
        if self.patch < 1 or self.size < self.patch or self.size % self.patch:
            raise ConfigError(f"scale.size must be a multiple of scale.patch, got {self.size} and {self.patch}.")
        for name in ("max_channels", "max_vocab", "max_tokens"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"scale.{name} must be at least 1, or null for no limit, got {value}.")


@dataclass(frozen=True, kw_only=True)
class Dense:
    """Values on a grid; each patch becomes one token, predicted by unmasking."""

    type_tag: ClassVar[str] = "dense"

    channels: int
    """Channels of a value, or number of classes where `categorical`."""
    size: int
    """Side of the image that the values describe, in pixels."""
    patch: int
    """Side of the square that one token covers, in pixels."""
    categorical: bool = False
    """True where a value holds class indices."""
    pixels_per_value: int = 1
    """Side of the square that one value covers, in pixels: above 1 for feature maps."""

    @property
    def grid(self) -> int:
        """Side of the token grid."""
        return self.size // self.patch

    @property
    def num_tokens(self) -> int:
        """Tokens in one sample, counted over the whole grid."""
        return self.grid**2

    @property
    def values_per_side(self) -> int:
        """Side of the value array, in values."""
        return self.size // self.pixels_per_value

    @property
    def values_per_patch(self) -> int:
        """Side of the square that one token covers, in values."""
        return self.patch // self.pixels_per_value


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One vector for the whole image, spelled as a few product codes without a place; predicted by unmasking."""

    type_tag: ClassVar[str] = "vector"

    channels: int
    num_tokens: int
    """Product codes in one sample."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A sequence in the shared text vocabulary, predicted from left to right."""

    type_tag: ClassVar[str] = "text"

    max_tokens: int
    """Longest sequence that is kept, in tokens, end token included."""
    chunk: int = 1
    """Tokens that are hidden or shown together, and whose chunks come in any order where above 1."""
    keep: KeepScheme = KeepScheme.random


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """A sequence of vectors; an input only, never predicted."""

    type_tag: ClassVar[str] = "embeddings"

    channels: int
    max_tokens: int


Layout: TypeAlias = Dense | Vector | Text | Embeddings


def scaled_layout(layout: Layout, scale: ScaleConfig) -> Layout:
    """``layout`` at another scale. A patch of other than 16 pixels at 224 keeps its ratio where it divides the size."""
    channels = scale.max_channels or 1 << 30
    longest = scale.max_tokens or 1 << 30
    match layout:
        case Dense():
            ratio = layout.patch * scale.patch
            patch = ratio // 16 if ratio % 16 == 0 and scale.size % (ratio // 16) == 0 else scale.patch
            if layout.pixels_per_value == 1:
                return replace(layout, size=scale.size, patch=patch)
            return replace(
                layout, size=scale.size, patch=patch, pixels_per_value=patch, channels=min(layout.channels, channels)
            )
        case Vector():
            return replace(layout, channels=min(layout.channels, channels))
        case Text():
            return replace(layout, max_tokens=min(layout.max_tokens, longest))
        case Embeddings():
            return replace(layout, channels=min(layout.channels, channels), max_tokens=min(layout.max_tokens, longest))
        case _:
            assert_never(layout)
