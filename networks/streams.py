"""What the model sees of modalities: one stream for each kind of token, patch or vector that enters or leaves it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from modalities.layouts import Dense, Embeddings, KeepScheme, Text, Vector
from modalities.spec import Modality
from modalities.tokenizer_specs import ProductMLP, ViTVQ


class StreamKind(Enum):
    """How a stream is laid out, masked and predicted."""

    grid = "grid"
    """Token ids at fixed places; targets are predicted by unmasking."""
    sequence = "sequence"
    """Token ids in an order; hidden spans are predicted from left to right."""
    pixels = "pixels"
    """Image patches; input only."""
    embedding = "embedding"
    """Vectors in an order; input only."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of token as the model sees it."""

    name: str
    kind: StreamKind
    num_tokens: int
    """Tokens in one sample; for sequences the most there can be, sentinels not counted."""
    vocabulary: str = ""
    """Streams of one vocabulary share one table of token embeddings and one head; empty for pixels and embeddings."""
    vocab_size: int = 0
    channels: int = 0
    """Length of one row: patch * patch * 3 for pixels, the vector's width for embeddings."""
    grid: int = 0
    """Side of a square grid whose places have two coordinates; 0 where places are learnt or counted."""
    stride: float = 1.0
    """Places of the finest grid that one place covers along a side: above 1 for lower resolutions, so that equal places
    of an image have equal codes."""
    patch: int = 0
    """Side of a patch in pixels, for pixels."""
    chunk: int = 1
    """Tokens of a sequence that are hidden or shown together; above 1 the chunks come in any order."""
    keep: KeepScheme = KeepScheme.random
    learned_positions: bool = False
    """True where positions are learnt though they could be sines and cosines."""
    num_positions: int = 0
    """Rows of a sequence's position table; 0 for as many as its length can need."""
    is_input: bool = True
    """True where the encoder may be shown it."""
    is_predicted: bool = True
    """False for ids that are an input only."""
    mean: tuple[float, ...] = ()
    """Levels that enter as 0, by channel, of 0 to 1, for pixels; none where levels enter as -1 to 1."""
    std: tuple[float, ...] = ()
    """Levels that enter as 1 more than that."""
    published_name: str = ""
    """Its name in published checkpoints, where it came from one."""
    predictable: tuple[int, ...] = ()
    """Ids that the head chooses among, in rising order; empty for the whole vocabulary. A sequence whose training data
    uses 300 of 4,500 ids then pays for 300. Any other id counts as the first of them."""

    @property
    def has_learned_positions(self) -> bool:
        """True where positions are learnt, whatever the model's config says: there or where there is no order."""
        return self.learned_positions or (self.kind is StreamKind.grid and self.grid == 0)

    @property
    def has_ids(self) -> bool:
        """True for tokens, False for patches and vectors."""
        return self.kind in (StreamKind.grid, StreamKind.sequence)

    @property
    def is_target(self) -> bool:
        """True where the model can predict it."""
        return self.has_ids and self.is_predicted


PIXELS_SUFFIX = "_pixels"
"""What is added to a modality's name for its stream of raw patches."""


def streams_of(
    modalities: Mapping[str, Modality], text_vocab_size: int, *, shared_text: bool = True
) -> tuple[Stream, ...]:
    """The streams of ``modalities``, in their order.

    Args:
        text_vocab: Size of the text vocabulary.
        shared_text: False gives each sequence modality a table and a head of its own, as the published models have.
    """
    streams: list[Stream] = []
    finest = max((item.layout.size for item in modalities.values() if isinstance(item.layout, Dense)), default=1)
    for name, modality in modalities.items():
        layout = modality.layout
        if modality.has_pixel_stream and isinstance(layout, Dense):
            streams.append(
                Stream(
                    name=name + PIXELS_SUFFIX,
                    kind=StreamKind.pixels,
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
            assert isinstance(spec, ViTVQ | ProductMLP)
            grid = layout.grid if isinstance(layout, Dense) else 0
            return Stream(
                name=name,
                kind=StreamKind.grid,
                num_tokens=layout.num_tokens,
                vocabulary=spec.name,
                vocab_size=spec.vocab_size,
                grid=grid,
                stride=stride,
            )
        case Text() as layout:
            return Stream(
                name=name,
                kind=StreamKind.sequence,
                num_tokens=layout.max_tokens,
                vocabulary=text,
                vocab_size=text_vocab_size,
                chunk=layout.chunk,
                keep=layout.keep,
            )
        case Embeddings() as layout:
            return Stream(name=name, kind=StreamKind.embedding, num_tokens=layout.max_tokens, channels=layout.channels)
        case _:
            assert_never(modality.layout)
