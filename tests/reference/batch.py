"""A published batch, already masked, as our `TokenBatch`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from networks.batch import IGNORE, PackedInputs, TokenBatch
from networks.streams import EmbeddingStream, GridStream, PixelStream, Stream, TokenStream


@dataclass
class _SlotLists:
    """What goes into the slots of one side, sample by sample."""

    ids: list[list[int]] = field(default_factory=list)
    targets: list[list[int]] = field(default_factory=list)
    stream: list[list[int]] = field(default_factory=list)
    position: list[list[int]] = field(default_factory=list)

    def add(self, number: int, positions: list[int], ids: list[int], targets: list[int] | None = None) -> None:
        self.ids[-1] += ids
        self.targets[-1] += targets or [IGNORE] * len(ids)
        self.stream[-1] += [number] * len(ids)
        self.position[-1] += positions

    def start_sample(self) -> None:
        for rows in (self.ids, self.targets, self.stream, self.position):
            rows.append([])

    def tensor(self, rows: list[list[int]], fill: int = 0) -> Tensor:
        width = max(max(len(row) for row in rows), 1)
        return torch.tensor([row + [fill] * (width - len(row)) for row in rows])

    def slot_mask(self) -> Tensor:
        return self.tensor([[1] * len(row) for row in self.ids]).bool()


def published_batch(io: Mapping[str, Tensor], streams: tuple[Stream, ...]) -> TokenBatch:
    """The batch of ``input/<modality>/...``; masks are True where something is hidden or padding."""
    b = next(len(value) for name, value in io.items() if name.startswith("input/"))
    encoder_side, decoder_side = _SlotLists(), _SlotLists()
    packed: dict[str, list[Tensor]] = {}
    owners: dict[str, list[tuple[int, int]]] = {}
    for sample in range(b):
        encoder_side.start_sample()
        decoder_side.start_sample()
        for number, stream in enumerate(streams):
            prefix = f"input/{stream.published_name}/"
            if f"{prefix}tensor" not in io:
                continue
            values = io[f"{prefix}tensor"][sample]
            visible = (~io[f"{prefix}input_mask"][sample].bool()).nonzero().flatten()
            target_positions = (~io[f"{prefix}target_mask"][sample].bool()).nonzero().flatten()
            is_grid = isinstance(stream, GridStream | PixelStream)
            positions = visible.tolist() if is_grid else list(range(len(visible)))
            if isinstance(stream, TokenStream):
                encoder_side.add(number, positions, values.flatten()[visible].tolist())
            elif len(visible):
                start = len(encoder_side.ids[-1])
                encoder_side.add(number, positions, [0] * len(visible))
                packed.setdefault(stream.name, []).append(sample_rows(stream, values)[visible])
                owners.setdefault(stream.name, []).extend((sample, start + place) for place in range(len(visible)))
            if stream.is_target and isinstance(stream, GridStream):
                decoder_side.add(
                    number,
                    target_positions.tolist(),
                    [0] * len(target_positions),
                    values.flatten()[target_positions].tolist(),
                )
            elif stream.is_target and len(target_positions) > 1:
                row = values.flatten()[target_positions].tolist()
                decoder_side.add(number, list(range(len(row) - 1)), row[:-1], row[1:])
    ids = encoder_side.tensor(encoder_side.ids)
    return TokenBatch(
        ids=ids,
        stream=encoder_side.tensor(encoder_side.stream),
        position=encoder_side.tensor(encoder_side.position),
        visible=encoder_side.slot_mask(),
        rows={
            name: PackedInputs(
                values=torch.cat(parts),
                slots=torch.tensor([sample * ids.shape[1] + slot for sample, slot in owners[name]]),
            )
            for name, parts in packed.items()
        },
        decoder_ids=decoder_side.tensor(decoder_side.ids),
        decoder_stream=decoder_side.tensor(decoder_side.stream),
        decoder_position=decoder_side.tensor(decoder_side.position),
        decoder_visible=decoder_side.slot_mask(),
        targets=decoder_side.tensor(decoder_side.targets, IGNORE),
    )


def sample_rows(stream: PixelStream | EmbeddingStream, values: Tensor) -> Tensor:
    """Every patch or vector of one sample, in the order of places."""
    if isinstance(stream, EmbeddingStream):
        return values
    channels, side, patch = values.shape[0], values.shape[1], stream.patch
    grid = side // patch
    cut = values.reshape(channels, grid, patch, grid, patch).permute(1, 3, 2, 4, 0)
    return cut.reshape(grid * grid, -1)
