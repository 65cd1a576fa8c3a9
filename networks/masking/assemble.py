"""From selected tokens to a `TokenBatch`: slots of fixed width, filled by two look-ups on the samples' device.

Only selected patches are cut and only selected vectors copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Float, Int, Integer, Num
from numpy import ndarray
from torch import Tensor

from modalities.vocabulary import NUM_SENTINELS, SENTINEL_0_ID
from networks.batch import IGNORE, PackedInputs, Samples, TokenBatch
from networks.masking.ragged import Selection
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream

ZERO_ROW, IGNORE_ROW, SENTINELS_START = 0, 1, 2
"""Rows of the `IdTable` that hold 0, `IGNORE`, and ``[S_0]``."""
TOKENS_START = SENTINELS_START + NUM_SENTINELS


@dataclass(frozen=True, kw_only=True)
class IdTable:
    """All ids of a batch in one table, so that one look-up fills the slots of all streams."""

    ids: Int[Tensor, " size"]
    first: Int[ndarray, " s"]
    """First row of each stream; `ZERO_ROW` for streams without ids."""
    width: Int[ndarray, " s"]
    """Number of ids of one sample of each stream; 0 for streams without ids."""


@dataclass(frozen=True, kw_only=True)
class SlotIndex:
    """Slots of selected tokens."""

    slot: Int[ndarray, " r"]
    """Index into the flattened (b * width) slots."""
    sample: Int[ndarray, " r"]
    stream: Int[ndarray, " r"]
    width: int


def assemble(
    samples: Samples,
    streams: Sequence[Stream],
    encoder: Selection,
    decoder: Selection,
    widths: tuple[int, int] | None = None,
) -> TokenBatch:
    """The batch of the selected tokens. Each sample has its streams in order, and padding at the end.

    Args:
        widths: Slots of the encoder and of the decoder; None for as many as needed.
    """
    lengths = next(iter(samples.values())).lengths
    b, device = len(lengths), lengths.device
    encoder_slots = assign_slots(encoder, b, len(streams), widths[0] if widths else None)
    decoder_slots = assign_slots(decoder, b, len(streams), widths[1] if widths else None)
    table = build_id_table(samples, streams, device)
    is_grid = np.array([isinstance(stream, GridStream) for stream in streams])
    assert decoder.decoder_input_index is not None
    input_rows = np.where(
        is_grid[decoder_slots.stream], ZERO_ROW, table_index(table, decoder_slots, decoder.decoder_input_index)
    )

    def to_slots(slots: SlotIndex, values: ndarray, empty: int = 0) -> Tensor:
        flat = np.full(b * slots.width, empty, dtype=values.dtype)
        flat[slots.slot] = values
        return torch.from_numpy(flat.reshape(b, slots.width)).to(device)

    return TokenBatch(
        ids=lookup(table, to_slots(encoder_slots, table_index(table, encoder_slots, encoder.token_index))),
        stream=to_slots(encoder_slots, encoder_slots.stream),
        position=to_slots(encoder_slots, encoder.position),
        visible=to_slots(encoder_slots, np.ones(len(encoder_slots.slot), dtype=np.bool_)),
        rows=gather_inputs(samples, streams, encoder_slots, encoder.token_index),
        decoder_ids=lookup(table, to_slots(decoder_slots, input_rows)),
        decoder_stream=to_slots(decoder_slots, decoder_slots.stream),
        decoder_position=to_slots(decoder_slots, decoder.position),
        decoder_visible=to_slots(decoder_slots, np.ones(len(decoder_slots.slot), dtype=np.bool_)),
        targets=lookup(
            table, to_slots(decoder_slots, table_index(table, decoder_slots, decoder.token_index), IGNORE_ROW)
        ),
    )


def assign_slots(picks: Selection, b: int, num_streams: int, width: int | None) -> SlotIndex:
    """A slot for each selected token: sample by sample, stream by stream, by rank."""
    counts = np.bincount(picks.row, minlength=b * num_streams).reshape(b, num_streams)
    if width is None:
        width = max(int(counts.sum(axis=1).max()), 1)
    assert counts.sum(axis=1).max() <= width
    first = counts.cumsum(axis=1) - counts + width * np.arange(b)[:, None]
    sample = np.repeat(np.arange(b), num_streams)[picks.row]
    return SlotIndex(
        slot=first.ravel()[picks.row] + picks.rank,
        sample=sample,
        stream=picks.row - num_streams * sample,
        width=width,
    )


def build_id_table(samples: Samples, streams: Sequence[Stream], device: torch.device) -> IdTable:
    """The table of all ids of the samples."""
    first, width, total = [], [], TOKENS_START
    for stream in streams:
        has_ids = isinstance(stream, TokenStream) and stream.name in samples
        first.append(total if has_ids else ZERO_ROW)
        width.append(samples[stream.name].values.shape[1] if has_ids else 0)
        total += samples[stream.name].values.numel() if has_ids else 0
    ids = torch.empty(total, dtype=torch.int64, device=device)
    ids[ZERO_ROW], ids[IGNORE_ROW] = 0, IGNORE
    torch.arange(SENTINEL_0_ID, SENTINEL_0_ID + NUM_SENTINELS, out=ids[SENTINELS_START:TOKENS_START])
    for stream, begin in zip(streams, first, strict=True):
        if begin:
            values = samples[stream.name].values
            ids[begin : begin + values.numel()].view(values.shape).copy_(values)
    return IdTable(ids=ids, first=np.array(first), width=np.array(width))


def table_index(table: IdTable, slots: SlotIndex, column: Int[ndarray, " r"]) -> Int[ndarray, " r"]:
    """Row of the table for each selected token."""
    begin, width = table.first[slots.stream], table.width[slots.stream]
    token = np.where(column >= 0, begin + slots.sample * width + column, SENTINELS_START - 1 - column)
    return np.where(width > 0, token, ZERO_ROW)


def lookup(table: IdTable, index: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """The ids at ``index``."""
    return table.ids.index_select(0, index.flatten()).view(index.shape)


def gather_inputs(
    samples: Samples, streams: Sequence[Stream], slots: SlotIndex, column: Int[ndarray, " r"]
) -> dict[str, PackedInputs]:
    """The selected patches and vectors of every stream that has them."""
    rows: dict[str, PackedInputs] = {}
    for stream_index, stream in enumerate(streams):
        if stream.name not in samples:
            continue
        values = samples[stream.name].values
        own = np.flatnonzero(slots.stream == stream_index)
        sample, position = slots.sample[own], column[own]
        match stream:
            case GridStream() | SequenceStream():
                continue
            case PixelStream():
                inputs = pixel_inputs(values, sample, position, stream)
            case EmbeddingStream():
                inputs = gather_vectors(values, sample, position)
            case _:
                assert_never(stream)
        rows[stream.name] = PackedInputs(values=inputs, slots=torch.from_numpy(slots.slot[own]).to(values.device))
    return rows


def pixel_inputs(
    images: Integer[Tensor, "b height width c"],
    sample: Int[ndarray, " r"],
    position: Int[ndarray, " r"],
    stream: PixelStream,
) -> Float[Tensor, "r pixels"]:
    """Patches as the stream's model takes them: levels -1 to 1, or standardized by channel."""
    patches = extract_patches(images, sample, position, stream.patch)
    return standardize_patches(patches, stream.mean, stream.std) if stream.mean else patches


def extract_patches(
    images: Integer[Tensor, "b height width c"], sample: Int[ndarray, " r"], position: Int[ndarray, " r"], patch: int
) -> Float[Tensor, "r pixels"]:
    """Square patches of 8-bit images, scaled to [-1, 1] and flattened row by row with channels innermost.

    Args:
        position: Index into the grid of patches, in row-major order.
    """
    b, height, width, channels = images.shape
    grid = width // patch
    # A patch is `patch` runs of contiguous bytes; the rest of the image is not read.
    runs = images.contiguous().view(b * height * grid, patch * channels)
    first = (sample * height + position // grid * patch) * grid + position % grid
    chosen = first[:, None] + grid * np.arange(patch)
    return _gather_rows(runs, chosen, scale=1 / 127.5, shift=-1.0)


def standardize_patches(
    rows: Float[Tensor, "r pixels"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "r pixels"]:
    """Patches of levels -1 to 1, standardized with each channel's mean and deviation, which are of levels 0 to 1."""
    channels = rows.unflatten(1, (-1, len(mean)))
    centre, width = channels.new_tensor(mean), channels.new_tensor(std)
    scaled: Tensor = channels.sub(2 * centre - 1).div_(2 * width).flatten(1)
    return scaled


def gather_vectors(
    values: Num[Tensor, "b n c"], sample: Int[ndarray, " r"], column: Int[ndarray, " r"]
) -> Float[Tensor, "r c"]:
    """Vectors of each sample's sequence; zeros where ``column`` is negative, as for hidden runs."""
    flat = np.maximum(sample * values.shape[1] + column, 0)
    chosen = _gather_rows(values.flatten(0, 1), flat[:, None])
    chosen[torch.from_numpy(np.flatnonzero(column < 0)).to(values.device)] = 0.0
    return chosen


def _gather_rows(
    table: Num[Tensor, "all c"], index: Int[ndarray, "r k"], *, scale: float = 1.0, shift: float = 0.0
) -> Float[Tensor, "r kc"]:
    """The ``k`` rows of each entry, concatenated, in fp32, times ``scale`` plus ``shift``."""
    chosen = torch.from_numpy(index.ravel()).to(table.device)
    rows = table.index_select(0, chosen).view(len(index), index.shape[1] * table.shape[1]).float()
    return rows.mul_(scale).add_(shift) if scale != 1.0 or shift else rows
