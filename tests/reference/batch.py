"""A published batch, already masked, as our `TokenBatch`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from networks.batch import IGNORE, Rows, TokenBatch
from networks.streams import Stream, StreamKind


@dataclass
class _Side:
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

    def open(self) -> None:
        for rows in (self.ids, self.targets, self.stream, self.position):
            rows.append([])

    def tensor(self, rows: list[list[int]], fill: int = 0) -> Tensor:
        width = max(max(len(row) for row in rows), 1)
        return torch.tensor([row + [fill] * (width - len(row)) for row in rows])

    def there(self) -> Tensor:
        return self.tensor([[1] * len(row) for row in self.ids]).bool()


def published_batch(io: Mapping[str, Tensor], streams: tuple[Stream, ...]) -> TokenBatch:
    """The batch of ``input/<modality>/...``; masks are True where something is hidden or padding."""
    b = next(len(value) for name, value in io.items() if name.startswith("input/"))
    seen, asked = _Side(), _Side()
    packed: dict[str, list[Tensor]] = {}
    owners: dict[str, list[tuple[int, int]]] = {}
    for sample in range(b):
        seen.open()
        asked.open()
        for number, stream in enumerate(streams):
            prefix = f"input/{stream.published}/"
            if f"{prefix}tensor" not in io:
                continue
            values = io[f"{prefix}tensor"][sample]
            visible = (~io[f"{prefix}input_mask"][sample].bool()).nonzero().flatten()
            wanted = (~io[f"{prefix}target_mask"][sample].bool()).nonzero().flatten()
            is_grid = stream.kind in (StreamKind.grid, StreamKind.pixels)
            positions = visible.tolist() if is_grid else list(range(len(visible)))
            if stream.has_ids:
                seen.add(number, positions, values.flatten()[visible].tolist())
            elif len(visible):
                start = len(seen.ids[-1])
                seen.add(number, positions, [0] * len(visible))
                packed.setdefault(stream.name, []).append(rows_of(stream, values)[visible])
                owners.setdefault(stream.name, []).extend((sample, start + place) for place in range(len(visible)))
            if stream.is_target and stream.kind is StreamKind.grid:
                asked.add(number, wanted.tolist(), [0] * len(wanted), values.flatten()[wanted].tolist())
            elif stream.is_target and len(wanted) > 1:
                row = values.flatten()[wanted].tolist()
                asked.add(number, list(range(len(row) - 1)), row[:-1], row[1:])
    ids = seen.tensor(seen.ids)
    return TokenBatch(
        ids=ids,
        stream=seen.tensor(seen.stream),
        position=seen.tensor(seen.position),
        visible=seen.there(),
        rows={
            name: Rows(
                values=torch.cat(parts),
                slots=torch.tensor([sample * ids.shape[1] + slot for sample, slot in owners[name]]),
            )
            for name, parts in packed.items()
        },
        decoder_ids=asked.tensor(asked.ids),
        decoder_stream=asked.tensor(asked.stream),
        decoder_position=asked.tensor(asked.position),
        decoder_visible=asked.there(),
        targets=asked.tensor(asked.targets, IGNORE),
    )


def rows_of(stream: Stream, values: Tensor) -> Tensor:
    """Every patch or vector of one sample, in the order of places."""
    if stream.kind is StreamKind.embedding:
        return values
    channels, side, patch = values.shape[0], values.shape[1], stream.patch
    grid = side // patch
    cut = values.reshape(channels, grid, patch, grid, patch).permute(1, 3, 2, 4, 0)
    return cut.reshape(grid * grid, -1)
