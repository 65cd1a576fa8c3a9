"""Streams: the model's view of modalities, one for each kind of token, patch or vector that enters or leaves it.

The pixels and the tokens of one image modality are two streams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, assert_never

from modalities.layouts import Dense, Embeddings, KeepScheme, Text, Vector
from modalities.spec import Modality
from modalities.tokenizer_specs import LearnedTokenizer

_PIXELS_SUFFIX = "_pixels"
"""Ending of the name of a `PixelStream`, after its modality's name."""


@dataclass(frozen=True, kw_only=True)
class BaseStream:
    """Fields that streams of all types have."""

    name: str
    """Key of the stream in batches and configs; its CRC is part of seeds."""
    num_tokens: int
    """Tokens in one sample; for sequences the maximum, sentinels not counted."""
    learned_positions: bool = False
    """True for a learned position table even where the model's config asks for sines and cosines."""
    is_input: bool = True
    """True if the encoder may receive it."""
    published_name: str = ""
    """Name in the published checkpoint that the stream was read from; empty for others."""

    @property
    def modality(self) -> str:
        """Name of the modality that the stream belongs to."""
        return self.name

    @property
    def has_learned_positions(self) -> bool:
        """True if positions are learned whatever the model's config says."""
        return self.learned_positions

    @property
    def is_target(self) -> bool:
        """True if the model can predict it."""
        return False


@dataclass(frozen=True, kw_only=True)
class _TokenBase(BaseStream):
    """Fields of streams of token ids."""

    vocabulary: str
    """Streams of one vocabulary share one table of token embeddings and one head."""
    vocab_size: int
    """Number of ids in the vocabulary."""
    is_predicted: bool = True
    """False for ids that are an input only."""
    predictable: tuple[int, ...] = ()
    """Ids that the head chooses among, ascending; empty for the whole vocabulary. A sequence whose training data
    uses 300 of 4,500 ids then pays for 300. Targets outside the list count as its first id."""

    @property
    def is_target(self) -> bool:
        """True if the model can predict it."""
        return self.is_predicted


@dataclass(frozen=True, kw_only=True)
class GridStream(_TokenBase):
    """Token ids at fixed places, predicted by unmasking: a square grid, or the product codes of a vector."""

    type_tag: ClassVar[str] = "grid"

    grid: int | None = None
    """Side of the grid, in tokens; None for product codes, whose places are learned."""
    stride: float = 1.0
    """Tokens of the finest grid that one token covers along a side: above 1 at lower resolutions, so that equal places
    of an image have equal position embeddings."""

    @property
    def has_learned_positions(self) -> bool:
        """True if positions are learned whatever the model's config says; always without a grid."""
        return self.learned_positions or self.grid is None


@dataclass(frozen=True, kw_only=True)
class SequenceStream(_TokenBase):
    """Token ids in an order; hidden spans are predicted from left to right."""

    type_tag: ClassVar[str] = "sequence"

    chunk: int = 1
    """Tokens that are hidden or shown together; above 1 the chunks come in any order."""
    keep: KeepScheme = KeepScheme.random
    """Distribution of the share that stays visible."""
    num_positions: int | None = None
    """Rows of the position table; None for as many as the length can need."""


@dataclass(frozen=True, kw_only=True)
class PixelStream(BaseStream):
    """Square image patches of 8-bit RGB; input only."""

    type_tag: ClassVar[str] = "pixels"

    channels: int
    """Values in one patch: patch * patch * 3."""
    grid: int
    """Side of the grid, in patches."""
    patch: int
    """Side of a patch, in pixels."""
    stride: float = 1.0
    """Patches of the finest grid that one patch covers along a side, as `GridStream.stride`."""
    mean: tuple[float, ...] = ()
    """Mean of each channel, of levels 0 to 1, for standardization; empty scales levels to -1 to 1 instead."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel, of levels 0 to 1."""

    @property
    def modality(self) -> str:
        """Name of the modality that the stream belongs to."""
        return pixel_stream_owner(self.name) or self.name


@dataclass(frozen=True, kw_only=True)
class EmbeddingStream(BaseStream):
    """Vectors in an order; input only."""

    type_tag: ClassVar[str] = "embedding"

    channels: int
    """Length of a vector."""
    num_positions: int | None = None
    """Rows of the position table; None for as many as the length can need."""


Stream: TypeAlias = GridStream | SequenceStream | PixelStream | EmbeddingStream
TokenStream: TypeAlias = GridStream | SequenceStream
"""Streams of token ids; the model may predict them."""


def pixel_stream_name(modality: str) -> str:
    """Name of the stream of a modality's raw patches."""
    return modality + _PIXELS_SUFFIX


def pixel_stream_owner(name: str) -> str:
    """Name of the modality whose raw patches a stream called ``name`` holds; empty if the name is not of that form."""
    return name.removesuffix(_PIXELS_SUFFIX) if name.endswith(_PIXELS_SUFFIX) else ""


def token_stream(stream: Stream) -> TokenStream:
    """``stream`` as a stream of token ids, for callers that know it to be one."""
    assert isinstance(stream, TokenStream), f"{stream.name} has no token ids"
    return stream


def input_stream_name(modality: str, streams: Sequence[Stream]) -> str:
    """Stream through which a modality enters the encoder: its raw patches where the model takes them, else its own."""
    pixels = pixel_stream_name(modality)
    return pixels if any(stream.name == pixels for stream in streams) else modality


def streams_of(
    modalities: Mapping[str, Modality], text_vocab_size: int, *, shared_text: bool = True
) -> tuple[Stream, ...]:
    """The streams of ``modalities``, in their order.

    Args:
        text_vocab_size: Size of the text vocabulary.
        shared_text: False gives each sequence modality a table and a head of its own, as the published models have.
    """
    streams: list[Stream] = []
    finest = max((item.layout.size for item in modalities.values() if isinstance(item.layout, Dense)), default=1)
    for name, modality in modalities.items():
        layout = modality.layout
        if modality.has_pixel_stream and isinstance(layout, Dense):
            streams.append(
                PixelStream(
                    name=pixel_stream_name(name),
                    num_tokens=layout.num_tokens,
                    channels=layout.channels * layout.patch**2,
                    grid=layout.grid,
                    stride=finest / layout.size,
                    patch=layout.patch,
                )
            )
        stride = finest / layout.size if isinstance(layout, Dense) else 1.0
        streams.append(_stream(name, modality, text_vocab_size, "text" if shared_text else name, stride))
    return tuple(streams)


def _stream(name: str, modality: Modality, text_vocab_size: int, text: str, stride: float) -> Stream:
    match modality.layout:
        case Dense() | Vector() as layout:
            spec = modality.tokenizer
            assert isinstance(spec, LearnedTokenizer)
            return GridStream(
                name=name,
                num_tokens=layout.num_tokens,
                vocabulary=spec.name,
                vocab_size=spec.vocab_size,
                grid=layout.grid if isinstance(layout, Dense) else None,
                stride=stride,
            )
        case Text() as layout:
            return SequenceStream(
                name=name,
                num_tokens=layout.max_tokens,
                vocabulary=text,
                vocab_size=text_vocab_size,
                chunk=layout.chunk,
                keep=layout.keep,
            )
        case Embeddings() as layout:
            return EmbeddingStream(name=name, num_tokens=layout.max_tokens, channels=layout.channels)
        case _:
            assert_never(modality.layout)
