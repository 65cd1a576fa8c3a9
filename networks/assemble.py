"""From chosen tokens to a `TokenBatch`: slots of fixed width, and patches and vectors only where they were chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from networks.batch import IGNORE, Column, Rows, Samples, TokenBatch
from networks.picks import Picks, take
from networks.streams import Stream, StreamKind


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Where picks go: the flattened slot and the stream of each, and the least width that holds them all."""

    slot: Int[Tensor, " r"]
    stream: Int[Tensor, " r"]
    width: int


def assemble(
    samples: Samples,
    streams: Sequence[Stream],
    encoder: Picks,
    decoder: Picks,
    widths: tuple[int, int] | None = None,
) -> TokenBatch:
    """The batch of the chosen tokens. Streams lie side by side in each sample, padding at the end.

    Args:
        widths: Slots of the encoder and the decoder; the least that hold everything where None.
    """
    b, num_streams = batch_size(samples), len(streams)
    seen = place(encoder, b, num_streams, widths[0] if widths else None)
    asked = place(decoder, b, num_streams, widths[1] if widths else None)
    ids = encoder.ids.clone()
    rows: dict[str, Rows] = {}
    for number, stream in enumerate(streams):
        if stream.is_target or stream.name not in samples:
            continue
        (own,) = (seen.stream == number).nonzero(as_tuple=True)
        sample = encoder.row[own] // num_streams
        rows[stream.name] = Rows(
            values=_rows(samples[stream.name], stream, sample, encoder.position[own], ids[own]), slots=seen.slot[own]
        )
        ids[own] = 0
    assert decoder.given is not None

    def spread(slots: Slots, values: Tensor, empty: int = 0) -> Tensor:
        flat = torch.full((b * slots.width,), empty, dtype=torch.int64, device=values.device)
        return flat.scatter_(0, slots.slot, values).view(b, slots.width)

    return TokenBatch(
        ids=spread(seen, ids),
        stream=spread(seen, seen.stream),
        position=spread(seen, encoder.position),
        visible=spread(seen, torch.ones_like(ids)).bool(),
        rows=rows,
        decoder_ids=spread(asked, decoder.given),
        decoder_stream=spread(asked, asked.stream),
        decoder_position=spread(asked, decoder.position),
        decoder_visible=spread(asked, torch.ones_like(asked.slot)).bool(),
        targets=spread(asked, decoder.ids, IGNORE),
    )


def batch_size(samples: Samples) -> int:
    """Number of samples."""
    return len(next(iter(samples.values())).lengths)


def place(picks: Picks, b: int, num_streams: int, width: int | None) -> Slots:
    """A slot for each pick: sample by sample, stream by stream, by rank."""
    counts = torch.bincount(picks.row, minlength=b * num_streams).view(b, num_streams)
    if width is None:
        width = max(int(counts.sum(dim=1).max()), 1)
    first = counts.cumsum(dim=1) - counts + width * torch.arange(b, device=counts.device)[:, None]
    stream = torch.arange(num_streams, device=counts.device).expand(b, num_streams)
    return Slots(slot=take(first, picks.row) + picks.rank, stream=take(stream, picks.row), width=width)


def _rows(
    column: Column, stream: Stream, sample: Int[Tensor, " r"], position: Int[Tensor, " r"], source: Int[Tensor, " r"]
) -> Float[Tensor, "r c"]:
    if stream.kind is StreamKind.pixels:
        return patches(column.values, sample, position, stream.patch)
    return vectors(column.values, sample, source)


def patches(
    images: Int[Tensor, "b height width c"], sample: Int[Tensor, " r"], position: Int[Tensor, " r"], patch: int
) -> Float[Tensor, "r pixels"]:
    """Square patches of 8-bit images, scaled to [-1, 1]: row by row of the patch, pixel by pixel, channels innermost.

    Args:
        position: Place on the grid of patches, counted row by row.
    """
    b, height, width, channels = images.shape
    grid = width // patch
    # A patch is `patch` runs of neighbouring bytes; nothing else of the image is touched.
    runs = images.contiguous().view(b * height * grid, patch * channels)
    first = (sample * height + position // grid * patch) * grid + position % grid
    chosen = first[:, None] + grid * torch.arange(patch, device=images.device)
    return runs.index_select(0, chosen.flatten()).view(len(sample), -1).float().mul_(1 / 127.5).sub_(1)


def vectors(
    values: Float[Tensor, "b n c"], sample: Int[Tensor, " r"], source: Int[Tensor, " r"]
) -> Float[Tensor, "r c"]:
    """Vectors ``source`` of each sample's sequence; zeros where that is negative, which is what hidden runs become."""
    flat = (sample * values.shape[1] + source).clamp_min(0)
    chosen = values.flatten(0, 1).index_select(0, flat).float()
    (hidden,) = (source < 0).nonzero(as_tuple=True)
    return chosen.index_fill_(0, hidden, 0.0)
