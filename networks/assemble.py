"""From chosen places to a `TokenBatch`: slots of fixed width, filled from the samples in two look-ups on their device.

Patches are cut and vectors copied only where they were chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Integer, Num
from numpy import ndarray
from torch import Tensor

from modalities.text import NUM_SENTINELS, SENTINEL_0
from networks.batch import IGNORE, Rows, Samples, TokenBatch
from networks.picks import Picks
from networks.streams import Stream, StreamKind

NOTHING, IGNORED, FIRST_SENTINEL = 0, 1, 2
"""Where the pool of ids holds 0, `IGNORE`, and ``[S_0]``."""
FIRST_TOKEN = FIRST_SENTINEL + NUM_SENTINELS
PART = 1 << 17
"""Numbers that are gathered and scaled at once on a CPU."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Every id of a batch in one table, so that a look-up fills all slots whatever their streams."""

    ids: Int[Tensor, " size"]
    first: Int[ndarray, " s"]
    """Where each stream begins; `NOTHING` for streams without ids."""
    width: Int[ndarray, " s"]
    """Ids of one sample of each stream; 0 for streams without ids."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Where picks go."""

    slot: Int[ndarray, " r"]
    """Index into the flattened slots."""
    sample: Int[ndarray, " r"]
    stream: Int[ndarray, " r"]
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
    lengths = next(iter(samples.values())).lengths
    b, device = len(lengths), lengths.device
    seen = place(encoder, b, len(streams), widths[0] if widths else None)
    asked = place(decoder, b, len(streams), widths[1] if widths else None)
    pool = gather_ids(samples, streams, device)
    is_grid = np.array([stream.kind is StreamKind.grid for stream in streams])
    assert decoder.given is not None
    given = np.where(is_grid[asked.stream], NOTHING, find(pool, asked, decoder.given))

    def spread(slots: Slots, values: ndarray, empty: int = 0) -> Tensor:
        flat = np.full(b * slots.width, empty, dtype=values.dtype)
        flat[slots.slot] = values
        return torch.from_numpy(flat.reshape(b, slots.width)).to(device)

    return TokenBatch(
        ids=look_up(pool, spread(seen, find(pool, seen, encoder.column))),
        stream=spread(seen, seen.stream),
        position=spread(seen, encoder.position),
        visible=spread(seen, np.ones(len(seen.slot), dtype=np.bool_)),
        rows=cut_rows(samples, streams, seen, encoder.column),
        decoder_ids=look_up(pool, spread(asked, given)),
        decoder_stream=spread(asked, asked.stream),
        decoder_position=spread(asked, decoder.position),
        decoder_visible=spread(asked, np.ones(len(asked.slot), dtype=np.bool_)),
        targets=look_up(pool, spread(asked, find(pool, asked, decoder.column), IGNORED)),
    )


def place(picks: Picks, b: int, num_streams: int, width: int | None) -> Slots:
    """A slot for each pick: sample by sample, stream by stream, by rank."""
    counts = np.bincount(picks.row, minlength=b * num_streams).reshape(b, num_streams)
    if width is None:
        width = max(int(counts.sum(axis=1).max()), 1)
    assert counts.sum(axis=1).max() <= width
    first = counts.cumsum(axis=1) - counts + width * np.arange(b)[:, None]
    sample = np.repeat(np.arange(b), num_streams)[picks.row]
    return Slots(
        slot=first.ravel()[picks.row] + picks.rank,
        sample=sample,
        stream=picks.row - num_streams * sample,
        width=width,
    )


def gather_ids(samples: Samples, streams: Sequence[Stream], device: torch.device) -> Pool:
    """All ids of the samples."""
    first, width, total = [], [], FIRST_TOKEN
    for stream in streams:
        has_ids = stream.has_ids and stream.name in samples
        first.append(total if has_ids else NOTHING)
        width.append(samples[stream.name].values.shape[1] if has_ids else 0)
        total += samples[stream.name].values.numel() if has_ids else 0
    ids = torch.empty(total, dtype=torch.int64, device=device)
    ids[NOTHING], ids[IGNORED] = 0, IGNORE
    torch.arange(SENTINEL_0, SENTINEL_0 + NUM_SENTINELS, out=ids[FIRST_SENTINEL:FIRST_TOKEN])
    for stream, begin in zip(streams, first, strict=True):
        if begin:
            values = samples[stream.name].values
            ids[begin : begin + values.numel()].view(values.shape).copy_(values)
    return Pool(ids=ids, first=np.array(first), width=np.array(width))


def find(pool: Pool, slots: Slots, column: Int[ndarray, " r"]) -> Int[ndarray, " r"]:
    """Where the pool holds what each pick stands for."""
    begin, width = pool.first[slots.stream], pool.width[slots.stream]
    token = np.where(column >= 0, begin + slots.sample * width + column, FIRST_SENTINEL - 1 - column)
    return np.where(width > 0, token, NOTHING)


def look_up(pool: Pool, index: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """The ids at ``index``."""
    return pool.ids.index_select(0, index.flatten()).view(index.shape)


def cut_rows(samples: Samples, streams: Sequence[Stream], slots: Slots, column: Int[ndarray, " r"]) -> dict[str, Rows]:
    """The chosen patches and vectors of every stream that has them."""
    rows: dict[str, Rows] = {}
    for number, stream in enumerate(streams):
        if stream.has_ids or stream.name not in samples:
            continue
        values = samples[stream.name].values
        own = np.flatnonzero(slots.stream == number)
        sample, place = slots.sample[own], column[own]
        cut = patches(values, sample, place, stream.patch) if stream.patch else vectors(values, sample, place)
        if stream.mean:
            cut = standardised(cut, stream.mean, stream.std)
        rows[stream.name] = Rows(values=cut, slots=torch.from_numpy(slots.slot[own]).to(values.device))
    return rows


def patches(
    images: Integer[Tensor, "b height width c"], sample: Int[ndarray, " r"], position: Int[ndarray, " r"], patch: int
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
    chosen = first[:, None] + grid * np.arange(patch)
    return _gather(runs, chosen, scale=1 / 127.5, shift=-1.0)


def standardised(
    rows: Float[Tensor, "r pixels"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "r pixels"]:
    """Patches of levels from -1 to 1 in units of each channel's deviation from its mean, both of levels from 0 to 1."""
    channels = rows.unflatten(1, (-1, len(mean)))
    centre, width = channels.new_tensor(mean), channels.new_tensor(std)
    scaled: Tensor = channels.sub(2 * centre - 1).div_(2 * width).flatten(1)
    return scaled


def vectors(
    values: Num[Tensor, "b n c"], sample: Int[ndarray, " r"], column: Int[ndarray, " r"]
) -> Float[Tensor, "r c"]:
    """Vectors of each sample's sequence; zeros where ``column`` is negative, which is what hidden runs become."""
    flat = np.maximum(sample * values.shape[1] + column, 0)
    chosen = _gather(values.flatten(0, 1), flat[:, None])
    chosen[torch.from_numpy(np.flatnonzero(column < 0)).to(values.device)] = 0.0
    return chosen


def _gather(
    table: Num[Tensor, "all c"], index: Int[ndarray, "r k"], *, scale: float = 1.0, shift: float = 0.0
) -> Float[Tensor, "r kc"]:
    """The ``k`` rows of each, side by side, in fp32, times ``scale`` plus ``shift``."""
    chosen = torch.from_numpy(index.ravel()).to(table.device)
    num, width = len(index), index.shape[1] * table.shape[1]
    if table.device.type == "cpu":
        # Numpy asks for huge pages, which halves the time of tens of megabytes; parts of this size stay in cache.
        out, part = torch.from_numpy(np.empty((num, width), dtype=np.float32)), max(1, PART // width)
    else:
        out, part = torch.empty((num, width), device=table.device), max(1, num)
    for rows, places in zip(out.split(part), chosen.split(part * index.shape[1]), strict=True):
        rows.copy_(table.index_select(0, places).view(rows.shape))
        if scale != 1.0 or shift:
            rows.mul_(scale).add_(shift)
    return out
