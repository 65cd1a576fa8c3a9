"""The published algorithm in its plain form, kept to compare with: every token of every modality is embedded, all are
laid side by side, sorted by whether they are wanted, and most are thrown away.

Written from the papers (arXiv:2312.06647, arXiv:2406.09406): one table for each modality on each side, decoder tables
tied with their heads, attention by hand over boolean masks, a mean of modality losses. `test_plain` holds its loss
against `networks.fourm`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from networks.batch import Samples, TokenBatch
from networks.fourm.config import FourMConfig
from networks.layers.positions import sincos_1d, sincos_2d
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream

SHARED_TABLES = {
    "web_text": "caption",
    "metadata_geometric": "metadata_semantic",
    "metadata_image": "metadata_semantic",
}
"""Sequences that the published model feeds through another's table, so that 21 modalities have 6 text tables."""


@dataclass(frozen=True)
class MaskedModality:
    """All of one modality, and which of it the encoder sees and the decoder is asked for."""

    values: Tensor
    """Ids (b, n), pixels (b, n, c) or vectors (b, n, c); of a sequence the input's ids, then the target's."""
    visible: Bool[Tensor, "b n"]
    target_mask: Bool[Tensor, "b n"]


def plain_batch(samples: Samples, batch: TokenBatch, streams: Sequence[Stream]) -> dict[str, MaskedModality]:
    """What ``batch`` chose, as whole modalities with masks. Not timed: the published loader hands over this form."""
    return {
        stream.name: _masked_modality(samples, batch, number, stream)
        for number, stream in enumerate(streams)
        if stream.name in samples
    }


def _masked_modality(samples: Samples, batch: TokenBatch, number: int, stream: Stream) -> MaskedModality:
    b = len(batch.ids)
    own = batch.visible & (batch.stream == number)
    target_slots = batch.decoder_visible & (batch.decoder_stream == number)
    sample, slot = own.nonzero(as_tuple=True)
    position = batch.position[sample, slot]
    target_sample, target_slot = target_slots.nonzero(as_tuple=True)
    target_position = batch.decoder_position[target_sample, target_slot]
    width = 2 * (stream.num_tokens + 2) if isinstance(stream, SequenceStream) else stream.num_tokens
    visible, target_mask = (torch.zeros(b, width, dtype=torch.bool) for _ in range(2))
    visible[sample, position] = True
    match stream:
        case GridStream():
            values = samples[stream.name].values.long()
            target_mask[target_sample, target_position] = True
        case PixelStream() | EmbeddingStream():
            values = torch.zeros(b, width, stream.channels)
            rows = batch.rows[stream.name]
            where, slots = rows.slots // batch.ids.shape[1], rows.slots % batch.ids.shape[1]
            values[where, batch.position[where, slots]] = rows.values
        case SequenceStream():
            values = torch.zeros(b, width, dtype=torch.int64)
            values[sample, position] = batch.ids[sample, slot]
            begin = width // 2
            values[target_sample, begin + target_position] = batch.decoder_ids[target_sample, target_slot]
            values[target_sample, begin + target_position + 1] = batch.targets[target_sample, target_slot]
            target_mask[target_sample, begin + target_position] = True
    return MaskedModality(values=values, visible=visible, target_mask=target_mask)


class Attention(nn.Module):
    """Attention written out: scores, mask, softmax, sum."""

    def __init__(self, width: int, heads: int, *, cross: bool) -> None:
        super().__init__()
        self.heads, self.cross = heads, cross
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "b m d"], context: Float[Tensor, "b n d"], hidden: Tensor) -> Tensor:
        b, m, d = x.shape
        query = self.query(x).reshape(b, m, self.heads, -1).transpose(1, 2)
        key, value = self.key_value(context).reshape(b, context.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        scores = scores.masked_fill(hidden[:, None], -torch.finfo(scores.dtype).max)
        gathered = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(b, m, d)
        out: Tensor = self.out(gathered)
        return out


class GatedMLP(nn.Module):
    """SwiGLU in three maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = int(4 * width * 2 / 3)
        self.gate, self.up, self.down = (
            nn.Linear(width, hidden, bias=False),
            nn.Linear(width, hidden, bias=False),
            nn.Linear(hidden, width, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return out


class Block(nn.Module):
    """An encoder block, or with ``cross`` a decoder block."""

    def __init__(self, width: int, heads: int, *, cross: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=1e-6, bias=False) for _ in range(4 if cross else 2)])
        self.attention = Attention(width, heads, cross=False)
        self.cross = Attention(width, heads, cross=True) if cross else None
        self.mlp = GatedMLP(width)

    def forward(
        self, x: Tensor, hidden: Tensor, context: Tensor | None = None, padding_mask: Tensor | None = None
    ) -> Tensor:
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, hidden)
        if self.cross is not None:
            x = x + self.cross(self.norms[2](x), self.norms[3](context), padding_mask)
        out: Tensor = x + self.mlp(self.norms[1](x))
        return out


class PlainFourM(nn.Module):
    """4M as published, for the streams and sizes that `networks.fourm.FourM` takes."""

    def __init__(self, streams: Sequence[Stream], config: FourMConfig, num_inputs: int, num_targets: int) -> None:
        super().__init__()
        width, heads, encoder, decoder = config.shape
        self.streams, self.num_inputs, self.num_targets = tuple(streams), num_inputs, num_targets
        self.tables, self.heads, self.input_projections, self.stream, self.learned = (
            nn.ModuleDict(),
            nn.ModuleDict(),
            nn.ModuleDict(),
            nn.ParameterDict(),
            nn.ParameterDict(),
        )
        for item in self.streams:
            self.stream[item.name] = nn.Parameter(0.02 * torch.randn(width))
            if isinstance(item, TokenStream) and self.table_name(item) not in self.tables:
                self.tables[self.table_name(item)] = nn.Embedding(item.vocab_size, width)
                self.heads[self.table_name(item)] = nn.Embedding(item.vocab_size, width)
            if isinstance(item, PixelStream | EmbeddingStream):
                self.input_projections[item.name] = nn.Linear(item.channels, width, bias=False)
            if isinstance(item, GridStream) and item.grid is None:
                self.learned[item.name] = nn.Parameter(0.02 * torch.randn(item.num_tokens, width))
            elif isinstance(item, GridStream | PixelStream):
                assert item.grid is not None
                self.register_buffer("positions_" + item.name, sincos_2d(item.grid, width), persistent=False)
            else:
                positions = sincos_1d(2 * (item.num_tokens + 2), width)
                self.register_buffer("positions_" + item.name, positions, persistent=False)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.encoder = nn.ModuleList([Block(width, heads, cross=False) for _ in range(encoder)])
        self.decoder = nn.ModuleList([Block(width, heads, cross=True) for _ in range(decoder)])
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.context_projection = nn.Linear(width, width, bias=False)

    @staticmethod
    def table_name(stream: Stream) -> str:
        """The table that a stream's ids are looked up in: every grid and every published sequence has its own."""
        return SHARED_TABLES.get(stream.name, stream.name)

    def position_codes(self, stream: Stream) -> Float[Tensor, "n d"]:
        """Position codes of a stream."""
        positions: Tensor = (
            self.learned[stream.name] if stream.name in self.learned else getattr(self, "positions_" + stream.name)
        )
        return positions

    def forward(self, batch: dict[str, MaskedModality]) -> Float[Tensor, ""]:
        """The loss: the mean over modalities with targets of their mean cross-entropies."""
        x, positions, visible = self.embed_inputs(batch)
        selected = select_first(visible, self.num_inputs)
        x, positions = gather_tokens(x, selected), gather_tokens(positions, selected)
        padding_mask = ~visible.gather(1, selected)
        x = (x + positions).masked_fill(padding_mask[..., None], 0.0)
        for layer in self.encoder:
            x = layer(x, padding_mask[:, None])
        context = (self.context_projection(self.encoder_norm(x)) + positions).masked_fill(padding_mask[..., None], 0.0)
        y, target_mask, stream, targets = self.embed_targets(batch)
        selected = select_first(target_mask, self.num_targets)
        y, target_mask = gather_tokens(y, selected), target_mask.gather(1, selected)
        stream, targets = stream.gather(1, selected).masked_fill(~target_mask, -1), targets.gather(1, selected)
        y = y.masked_fill(~target_mask[..., None], 0.0)
        hidden = self.decoder_mask(stream)
        for layer in self.decoder:
            y = layer(y, hidden, context, padding_mask[:, None])
        y = self.decoder_norm(y)
        losses = []
        for number, item in enumerate(self.streams):
            own = stream == number
            if item.is_target and own.any():
                logits = y[own] @ self.heads[self.table_name(item)].weight.T
                losses.append(F.cross_entropy(logits.float(), targets[own]))
        return torch.stack(losses).mean()

    def embed_inputs(self, batch: dict[str, MaskedModality]) -> tuple[Tensor, Tensor, Tensor]:
        """Every token of every modality as the encoder would see it, its place and stream, and whether it does."""
        vectors, positions, visible = [], [], []
        for item in self.streams:
            part = batch[item.name]
            linear = dict(self.input_projections.items()).get(item.name)
            vectors.append(linear(part.values) if linear else self.tables[self.table_name(item)](part.values))
            codes = self.position_codes(item).expand(len(part.values), -1, -1)
            if isinstance(item, SequenceStream):
                rank_order = (part.visible.long().cumsum(1) - 1).clamp_min(0)
                codes = gather_tokens(codes, rank_order.clamp_max(codes.shape[1] - 1))
            positions.append(codes[:, : part.visible.shape[1]] + self.stream[item.name])
            visible.append(part.visible)
        return torch.cat(vectors, 1), torch.cat(positions, 1), torch.cat(visible, 1)

    def embed_targets(self, batch: dict[str, MaskedModality]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Every token of every modality as the decoder would be asked for it: vector, whether it is, stream, target."""
        vectors, target_mask, stream, targets = [], [], [], []
        for number, item in enumerate(self.streams):
            if not item.is_target:
                continue
            part = batch[item.name]
            positions = self.position_codes(item).expand(len(part.values), -1, -1)
            if isinstance(item, SequenceStream):
                rank_order = (part.target_mask.long().cumsum(1) - 1).clamp_min(0)
                positions = gather_tokens(positions, rank_order.clamp_max(positions.shape[1] - 1))
                known = self.heads[self.table_name(item)](part.values)
                targets.append(part.values.roll(-1, 1))
            else:
                known = self.mask_token.expand(*part.values.shape, -1)
                targets.append(part.values)
            vectors.append(known + positions + self.stream[item.name])
            target_mask.append(part.target_mask)
            stream.append(torch.full_like(part.values, number))
        return torch.cat(vectors, 1), torch.cat(target_mask, 1), torch.cat(stream, 1), torch.cat(targets, 1)

    def decoder_mask(self, stream: Int[Tensor, "b m"]) -> Bool[Tensor, "b m m"]:
        """True where a slot may not look: at other modalities, and in sequences ahead."""
        causal = torch.tensor([isinstance(item, SequenceStream) for item in self.streams] + [False])[stream]
        m = stream.shape[1]
        ahead = torch.ones(m, m, dtype=torch.bool).triu(1)
        return (stream[:, :, None] != stream[:, None, :]) | (causal[:, :, None] & ahead)


def select_first(mask: Bool[Tensor, "b n"], num: int) -> Int[Tensor, "b num"]:
    """The first ``num`` places when those that are wanted are sorted to the front, in order."""
    rank_order = (~mask).float() + torch.linspace(0, 0.5, mask.shape[1])
    return rank_order.argsort(dim=1)[:, :num]


def gather_tokens(x: Float[Tensor, "b n d"], positions: Int[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
    """The vectors at ``places``."""
    return x.gather(1, positions[..., None].expand(-1, -1, x.shape[2]))
