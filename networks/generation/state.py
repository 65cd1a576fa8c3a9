"""Generation state: known tokens per stream, and the encoder batch built from them.

Tokens stay on their device. The maximum number of known tokens is counted on the host, so that no step waits for the
device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modalities.vocabulary import SENTINEL_0_ID
from networks.batch import IGNORE, PackedInputs, TokenBatch
from networks.streams import EmbeddingStream, SequenceStream, Stream

FIRST_SENTINEL = SENTINEL_0_ID + 1
"""Start of a sequence that is generated as a whole."""


@dataclass(frozen=True, kw_only=True)
class KnownRows:
    """The known patches or vectors of a stream, without padding."""

    values: Float[Tensor, "r c"]
    sample: Int[Tensor, " r"]
    position: Int[Tensor, " r"]


@dataclass(frozen=True, kw_only=True)
class KnownTokens:
    """Known tokens of one stream. In sequences, hidden runs are sentinels and known tokens come first."""

    ids: Int[Tensor, "b n"]
    """0 for unknown tokens, patches and vectors."""
    known: Bool[Tensor, "b n"]
    max_known: int
    """Upper bound of the number of known tokens of a sample."""
    packed: KnownRows | None = None

    def rows(self) -> list[list[int]]:
        """Each sample's known ids, in order."""
        ids, known = self.ids.cpu(), self.known.cpu()
        return [row[there].tolist() for row, there in zip(ids, known, strict=True)]


KnownStreams = Mapping[str, KnownTokens]
"""Known tokens by stream."""


def known_sequences(rows: Sequence[Sequence[int]], device: torch.device) -> KnownTokens:
    """Known tokens of a batch of sequences."""
    width = max(1, *(len(row) for row in rows)) if rows else 1
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return KnownTokens(ids=ids, known=torch.arange(width, device=device) < lengths[:, None], max_known=width)


def empty_grid(stream: Stream, b: int, device: torch.device) -> KnownTokens:
    """A grid without known tokens."""
    shape = (b, stream.num_tokens)
    ids = torch.zeros(shape, dtype=torch.int64, device=device)
    return KnownTokens(ids=ids, known=torch.zeros(shape, dtype=torch.bool, device=device), max_known=0)


def hide_stream(part: KnownTokens, stream: Stream, *, prompt_with_sentinel: bool) -> KnownTokens | None:
    """Replacement of a stream that is hidden from a branch; None for grids and pixels, which are left out.

    A sequence is replaced by the first sentinel with ``prompt_with_sentinel``, vectors by a single zero vector.
    """
    b, device = len(part.ids), part.ids.device
    if isinstance(stream, SequenceStream) and prompt_with_sentinel:
        return known_sequences([[FIRST_SENTINEL]] * b, device)
    if isinstance(stream, EmbeddingStream):
        assert part.packed is not None
        sample = torch.arange(b, device=device)
        values = part.packed.values.new_zeros(b, stream.channels)
        return KnownTokens(
            ids=torch.zeros(b, 1, dtype=torch.int64, device=device),
            known=torch.ones(b, 1, dtype=torch.bool, device=device),
            max_known=1,
            packed=KnownRows(values=values, sample=sample, position=torch.zeros_like(sample)),
        )
    return None


def encoder_width(known_streams: KnownStreams) -> int:
    """Width of the encoder's input: the maximum number of known tokens of a sample."""
    return max(1, sum(part.max_known for part in known_streams.values()))


def encoder_batch(
    known_streams_list: Sequence[KnownStreams], streams: Sequence[Stream], b: int, device: torch.device
) -> TokenBatch:
    """The encoder's input for several states of ``b`` samples each, in order; known slots come first in each row."""
    batches = [_batch(known_streams, streams, b, device) for known_streams in known_streams_list]
    width = max(batch.ids.shape[1] for batch in batches)
    ids, stream, position, visible = (
        torch.cat([_pad_to_width(getattr(batch, name), width) for batch in batches])
        for name in ("ids", "stream", "position", "visible")
    )
    rows: dict[str, PackedInputs] = {}
    for name in dict.fromkeys(name for batch in batches for name in batch.rows):
        values, slots = [], []
        for number, batch in enumerate(batches):
            if name in batch.rows:
                found, own = batch.rows[name], batch.ids.shape[1]
                values.append(found.values)
                slots.append((number * b + found.slots // own) * width + found.slots % own)
        rows[name] = PackedInputs(values=torch.cat(values), slots=torch.cat(slots))
    nothing = torch.zeros(len(ids), 0, dtype=torch.int64, device=device)
    return TokenBatch(
        ids=ids,
        stream=stream,
        position=position,
        visible=visible,
        rows=rows,
        decoder_ids=nothing,
        decoder_stream=nothing,
        decoder_position=nothing,
        decoder_visible=nothing.bool(),
        targets=nothing + IGNORE,
    )


@dataclass(frozen=True, kw_only=True)
class _EncoderInput:
    """Encoder input of one state, known slots first."""

    ids: Int[Tensor, "b n"]
    stream: Int[Tensor, "b n"]
    position: Int[Tensor, "b n"]
    visible: Bool[Tensor, "b n"]
    rows: dict[str, PackedInputs]


def _batch(known_streams: KnownStreams, streams: Sequence[Stream], b: int, device: torch.device) -> _EncoderInput:
    parts = [
        (number, known_streams[stream.name]) for number, stream in enumerate(streams) if stream.name in known_streams
    ]
    if not parts:
        empty = torch.zeros(b, 1, dtype=torch.int64, device=device)
        return _EncoderInput(ids=empty, stream=empty, position=empty, visible=empty.bool(), rows={})
    known = torch.cat([part.known for _, part in parts], dim=1)
    width = min(encoder_width(known_streams), known.shape[1])
    order = known.int().argsort(dim=1, descending=True, stable=True)[:, :width]
    ids = torch.cat([part.ids for _, part in parts], dim=1)
    number = torch.cat([torch.full_like(part.ids, number) for number, part in parts], dim=1)
    position = torch.cat([torch.arange(part.ids.shape[1], device=device).expand(b, -1) for _, part in parts], dim=1)
    slot = known.cumsum(dim=1) - 1
    rows: dict[str, PackedInputs] = {}
    first = 0
    for index, part in parts:
        if part.packed is not None:
            sample = part.packed.sample
            slots = sample * width + slot[sample, first + part.packed.position]
            rows[streams[index].name] = PackedInputs(values=part.packed.values, slots=slots)
        first += part.ids.shape[1]
    return _EncoderInput(
        ids=ids.gather(1, order),
        stream=number.gather(1, order),
        position=position.gather(1, order),
        visible=known.gather(1, order),
        rows=rows,
    )


def _pad_to_width(values: Tensor, width: int) -> Tensor:
    missing = width - values.shape[1]
    return torch.nn.functional.pad(values, (0, missing)) if missing else values


def update_known(
    part: KnownTokens, places: Int[Tensor, "b m"], ids: Int[Tensor, "b m"], accepted: Bool[Tensor, "b m"], more: int
) -> KnownTokens:
    """``part`` with ``ids`` known at ``places`` if ``accepted``, at most ``more`` of each sample."""
    return replace(
        part,
        ids=part.ids.scatter(1, places, torch.where(accepted, ids, part.ids.gather(1, places))),
        known=part.known.scatter(1, places, accepted | part.known.gather(1, places)),
        max_known=min(part.max_known + more, part.ids.shape[1]),
    )
