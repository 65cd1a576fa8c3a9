"""Records passed from data to masking, and from masking to the model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

IGNORE = -100
"""Target id of slots that are left out of the loss."""


@dataclass(frozen=True, kw_only=True)
class PaddedTokens:
    """One stream's tokens for a whole batch, padded to the longest."""

    values: Num[Tensor, "b n ..."]
    """Ids (b, n) of a grid or sequence, pixels (b, h, w, c) uint8, or vectors (b, n, c)."""
    lengths: Int[Tensor, " b"]
    """Number of real tokens: all of a grid or image, a sequence's length; 0 if the sample lacks the stream."""

    def to(self, device: torch.device | str) -> "PaddedTokens":
        """The same tokens on another device."""
        return replace(self, values=self.values.to(device), lengths=self.lengths.to(device))


Samples = Mapping[str, PaddedTokens]
"""A batch of whole token samples, by stream."""


@dataclass(frozen=True, kw_only=True)
class PackedInputs:
    """Patches or vectors that enter the encoder through a linear projection, without padding, and their slots."""

    values: Float[Tensor, "r c"]
    slots: Int[Tensor, " r"]
    """Index into the encoder's flattened (b * n) slots."""


@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """The selected tokens of a batch, before embedding.

    `stream` indexes the model's streams; padding is not `visible`.

    Decoder slots of one stream are adjacent and in order of position. A sequence's decoder ids are its targets shifted
    right by one (teacher forcing): the slot with input ``[S_1]`` predicts the first token.
    """

    ids: Int[Tensor, "b n"]
    """Token ids; 0 where the slot is a patch, a vector or padding."""
    stream: Int[Tensor, "b n"]
    position: Int[Tensor, "b n"]
    """Index into the grid, or into the visible part of a sequence (sentinels counted)."""
    visible: Bool[Tensor, "b n"]
    rows: dict[str, PackedInputs]
    """Patches and vectors, by stream."""
    decoder_ids: Int[Tensor, "b m"]
    """Input ids of a sequence's decoder slots; 0 and unused for grids, whose slots hold the mask token."""
    decoder_stream: Int[Tensor, "b m"]
    decoder_position: Int[Tensor, "b m"]
    decoder_visible: Bool[Tensor, "b m"]
    targets: Int[Tensor, "b m"]
    """Ids to predict; `IGNORE` elsewhere."""

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "TokenBatch":
        """The same batch in page-locked memory; data loaders call this when a GPU is used."""
        return self._map(lambda tensor: tensor.pin_memory())

    @property
    def num_tokens(self) -> int:
        """Slots in the encoder and the decoder together, padding included."""
        return self.ids.numel() + self.targets.numel()

    def split(self, size: int) -> Iterator["TokenBatch"]:
        """The batch in parts of ``size`` samples, in order; the last may be smaller."""
        b, n = self.ids.shape
        for first in range(0, b, size):
            last = min(first + size, b)
            changed: dict[str, Any] = {
                item.name: getattr(self, item.name)[first:last] for item in fields(self) if item.name != "rows"
            }
            rows = {}
            for name, packed in self.rows.items():
                own = (packed.slots >= first * n) & (packed.slots < last * n)
                rows[name] = PackedInputs(values=packed.values[own], slots=packed.slots[own] - first * n)
            yield replace(self, rows=rows, **changed)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "TokenBatch":
        changed: dict[str, Any] = {
            item.name: function(getattr(self, item.name)) for item in fields(self) if item.name != "rows"
        }
        rows = {
            name: PackedInputs(values=function(packed.values), slots=function(packed.slots))
            for name, packed in self.rows.items()
        }
        return replace(self, rows=rows, **changed)
