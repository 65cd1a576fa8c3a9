"""The 4M model: one encoder over whatever is visible, one decoder that predicts whatever is asked for.

Source: Mizrahi et al. 2023 (arXiv:2312.06647) and Bachmann et al. 2024 (arXiv:2406.09406). Unlike the published code,
the tokens that matter are chosen before they are embedded (see `networks.batch.TokenBatch`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch._functorch import config as functorch

from networks.batch import IGNORE, TokenBatch
from networks.fourm.config import FourMConfig, Init, Sharing, Size
from networks.fourm.embedding import InputProjection, PositionEmbedding, TokenEmbedding, add_packed_inputs
from networks.fourm.heads import output_weights, predictable_ids, stream_losses
from networks.fourm.init import initialize
from networks.kernels.linear import OneDNNLinear, PackedLinear, copy_with_packed_weights, linear
from networks.kernels.packing import Packing, pack_rows, unpack_rows
from networks.layers.blocks import Block, DecoderBlock, KeyValues, KVCache, layer_norm, tile_batch
from networks.streams import EmbeddingStream, PixelStream, SequenceStream, Stream, TokenStream, token_stream

__all__ = ["Context", "FourM", "FourMConfig", "FourMOutput", "Init", "Sharing", "Size"]


@dataclass(frozen=True, kw_only=True)
class FourMOutput:
    """The loss and its parts."""

    loss: Float[Tensor, ""]
    losses: dict[str, Tensor]
    """Mean cross-entropy of each stream that has a target in the batch, in nats."""
    counts: dict[str, int]
    """Targets of each of them."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the decoder cross-attends to."""

    values: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b 1 1 n"] | None
    """True where there is something to look at; None where that is everywhere."""


class FourM(nn.Module):
    """The encoder-decoder over a set of streams."""

    is_sequence: Tensor

    def __init__(self, streams: Sequence[Stream], config: FourMConfig, *, initialized: bool = True) -> None:
        """Build the model.

        Args:
            initialised: False leaves weights as they come, for those who fill them themselves.
        """
        super().__init__()
        self.streams = tuple(streams)
        self.config = config
        self.index = {stream.name: index for index, stream in enumerate(self.streams)}
        width, _, encoder_depth, decoder_depth = config.shape
        block = config.block
        self.tokens = TokenEmbedding(self.streams, width)
        self.heads = self.tokens if config.sharing is Sharing.all else TokenEmbedding(self.streams, width)
        self.decoder_token_embedding = (
            TokenEmbedding(self.streams, width) if config.sharing is Sharing.none else self.heads
        )
        self.position_embedding = self._position_embedding()
        shared = config.shared_positions and config.shared_streams
        self.decoder_position_embedding = self.position_embedding if shared else self._position_embedding()
        if config.shared_streams:
            self.decoder_position_embedding.stream = self.position_embedding.stream
        self.input_projections = nn.ModuleDict(
            {s.name: self._input_projection(s) for s in self.streams if isinstance(s, PixelStream | EmbeddingStream)}
        )
        self.registers = nn.Parameter(torch.zeros(config.registers, width)) if config.registers else None
        self.encoder = nn.ModuleList([Block(block) for _ in range(encoder_depth)])
        self.encoder_norm = layer_norm(block)
        self.context_projection = OneDNNLinear(width, width, bias=config.resolved_biases.context)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.decoder = nn.ModuleList([DecoderBlock(block) for _ in range(decoder_depth)])
        self.decoder_norm = layer_norm(block)
        kinds = [isinstance(stream, SequenceStream) for stream in self.streams]
        self.register_buffer("is_sequence", torch.tensor(kinds), persistent=False)
        self._has_fixed_shapes = False
        # Of a `frozen` copy, those that were asked for.
        self.packed_heads: dict[str, PackedLinear] | None = None
        if initialized:
            initialize(self)

    def forward(self, batch: TokenBatch) -> FourMOutput:
        """The loss over every target of the batch: cross-entropy, mean over modalities (or over tokens)."""
        decoded = self.decode(batch, self.encode(batch)).flatten(0, 1)
        rows = self._target_slots_by_stream(batch)
        if not rows:
            return FourMOutput(loss=decoded.sum() * 0.0, losses={}, counts={})
        streams = {name: token_stream(self.streams[self.index[name]]) for name in rows}
        losses = stream_losses(decoded, batch.targets.flatten(), rows, streams, self.heads.all_vocabulary_rows())
        counts = {name: own.numel() for name, own in rows.items()}
        return FourMOutput(loss=self._total(losses, counts), losses=losses, counts=counts)

    def compile_blocks(self) -> None:
        """Compile every transformer block on its own, for training on GPUs.

        Blocks of one kind share one graph, so that it takes as long for 48 of them as for two, and their shapes stay
        the same from batch to batch; the embedding of packed rows and the heads, whose shapes do not, stay as they are.
        """
        # Putting a compiled block into autograd's cache ended the process now and then (torch 2.11 and 2.13).
        functorch.enable_autograd_cache = False
        self._has_fixed_shapes = True
        for block in [*self.encoder, *self.decoder]:
            block.compile()

    def retain_table_grads(self) -> None:
        """Let steps on one CPU add to the gradients of the token tables in place (see `Tokens.keeps_gradient`).

        From then on `forget_gradients` should begin each step: an optimizer's ``zero_grad`` would give the memory away.
        """
        for table in self._tables():
            table.retains_grad = True

    def zero_table_grads(self) -> None:
        """Begin a new step, as an optimizer's ``zero_grad`` does."""
        tables = {id(table.table): table for table in self._tables()}
        for weight in self.parameters():
            if id(weight) in tables:
                tables[id(weight)].zero_table_grad()
            else:
                weight.grad = None

    def inference_copy(self) -> "FourM":
        """This model for many calls without gradients while its weights stay as they are: a copy that shares them.

        It lays out once what every call would lay out anew: the weights of maps and heads.
        """
        model_copy = copy_with_packed_weights(self)
        model_copy.packed_heads = {}
        return model_copy

    def logits(self, batch: TokenBatch) -> dict[str, tuple[Float[Tensor, "r v"], Int[Tensor, " r"]]]:
        """For each stream with targets: its logits, and the index of each row in the decoder's flattened slots."""
        decoded = self.decode(batch, self.encode(batch)).flatten(0, 1)
        return {
            name: (self.stream_logits(decoded[rows], name), rows)
            for name, rows in self._target_slots_by_stream(batch).items()
        }

    def encode(self, batch: TokenBatch) -> Context:
        """The encoder's answer, projected for the decoder, with the places' codes added again."""
        places = self.position_embedding(batch.stream, batch.position)
        x = add_packed_inputs(self.tokens(batch.ids, batch.stream) + places, batch, self.input_projections)
        visible = batch.visible
        x = torch.where(visible[..., None], x, 0.0)
        if self.registers is not None:
            x = torch.cat([self.registers.to(x.dtype).expand(len(x), -1, -1), x], dim=1)
            visible = F.pad(visible, (self.config.registers, 0), value=True)
            places = F.pad(places, (0, 0, self.config.registers, 0))
        packing = self._packing(visible)
        mask = key_mask(visible) if packing is None else packing.mask
        x = pack_rows(x, packing)
        for block in self.encoder:
            x = block(x, mask, packing)
        # Slots again: the decoder's keys and values are a fifteenth of the work, and everyone else takes slots.
        context: Tensor = self.context_projection(self.encoder_norm(unpack_rows(x, packing))) + places
        return Context(values=torch.where(visible[..., None], context, 0.0), mask=mask)

    def decode(self, batch: TokenBatch, context: Context) -> Float[Tensor, "b m d"]:
        """The decoder's answer at every slot, normed; of no use where there is padding."""
        packing = self._packing(batch.decoder_visible)
        decoder_inputs = (batch.decoder_ids, batch.decoder_stream, batch.decoder_position)
        x = self.embed_targets(*(pack_rows(item, packing) for item in decoder_inputs))
        mask = self._decoder_mask(batch)
        for block in self.decoder:
            x, _ = block(x, context.values, mask=mask, context_mask=context.mask, packing=packing)
        return unpack_rows(self.decoder_norm(x), packing)

    def cross_attention_kv(self, *contexts: Context) -> list[list[KeyValues]]:
        """Every decoder block's keys and values of the contexts, one under another, for any number of `step`s."""
        return [
            [cast(DecoderBlock, block).cross_attention_kv(context.values, context.mask) for context in contexts]
            for block in self.decoder
        ]

    def decode_step(
        self,
        x: Float[Tensor, "b m d"],
        context_kv: Sequence[Sequence[KeyValues]],
        past_key_values: list[KVCache] | None,
        mask: Bool[Tensor, "#b #h #m own"] | None = None,
    ) -> tuple[Float[Tensor, "rows m d"], list[KeyValues]]:
        """The decoder's answer for new slots behind those in ``past``; the new slots see each other and all before.

        Args:
            x: Of each sample, or, where all branches are given the same, of those of one branch.
            seen: From `look_at`.
            past: Takes in the new slots.
            mask: True where a slot may look, where not all may.
        """
        own: list[KeyValues] = []
        for index, block in enumerate(self.decoder):
            past = past_key_values[index] if past_key_values else None
            x, key_values = block(x, context_kv[index], mask=mask, past_key_values=past)
            own.append(key_values)
            if mask is not None and len(mask) > 1:
                mask = tile_batch(mask, len(x))
        return cast(Tensor, self.decoder_norm(x)), own

    def init_kv_cache(self, rows: int, max_length: int) -> list[KVCache]:
        """Room for ``room`` decoder slots of ``rows`` samples in every block."""
        width, heads, _, depth = self.config.shape
        like = self.mask_token
        shape = (rows, heads, max_length, width // heads)
        return [KVCache(key=like.new_empty(shape), value=like.new_empty(shape)) for _ in range(depth)]

    def embed_targets(
        self, ids: Int[Tensor, "*slots"], stream: Int[Tensor, "*slots"], position: Int[Tensor, "*slots"]
    ) -> Float[Tensor, "*slots d"]:
        """What the decoder is given: the known id for sequences, the mask token for grids, and the place."""
        known: Tensor = self.decoder_token_embedding(ids, stream)
        given = torch.where(self.is_sequence[stream][..., None], known, self.mask_token.to(known.dtype))
        embedded: Tensor = given + self.decoder_position_embedding(stream, position)
        return embedded

    def stream_logits(self, decoded: Float[Tensor, "*rows d"], stream: str) -> Float[Tensor, "*rows v"]:
        """Logits over the stream's vocabulary, in fp32; minus infinity for ids that are not predictable."""
        stream_config = token_stream(self.streams[self.index[stream]])
        table = self.heads.vocabulary_rows(stream_config.vocabulary)
        if self.packed_heads is None:
            logits = linear(decoded, output_weights(table, stream_config.predictable)).float()
        else:
            if stream not in self.packed_heads:
                self.packed_heads[stream] = PackedLinear(output_weights(table, stream_config.predictable))
            logits = self.packed_heads[stream](decoded).float()
        if not stream_config.predictable:
            return logits
        ids = predictable_ids(stream_config.predictable, logits.device)
        return logits.new_full((*logits.shape[:-1], stream_config.vocab_size), -torch.inf).index_copy(-1, ids, logits)

    def _tables(self) -> list[TokenEmbedding]:
        return [self.tokens, self.heads, self.decoder_token_embedding]

    def _packing(self, valid: Bool[Tensor, "b n"]) -> Packing | None:
        """How samples are packed; compiled blocks would be compiled again for every number of rows."""
        return None if self._has_fixed_shapes else Packing.from_mask(valid)

    def _position_embedding(self) -> PositionEmbedding:
        config = self.config
        return PositionEmbedding(
            self.streams,
            config.shape[0],
            scale=config.position_scale,
            max_period=config.max_period,
            learned=config.learned_positions,
        )

    def _input_projection(self, stream: PixelStream | EmbeddingStream) -> InputProjection:
        bias = self.config.resolved_biases.embeddings and isinstance(stream, EmbeddingStream)
        return InputProjection(stream.channels, self.config.shape[0], with_mlp=self.config.deep_stem, bias=bias)

    def _total(self, losses: dict[str, Tensor], counts: dict[str, int]) -> Float[Tensor, ""]:
        """One loss out of the streams' means."""
        stacked, config = torch.stack(list(losses.values())), self.config
        if not config.token_loss:
            num_losses = sum(stream.is_target for stream in self.streams) if config.published_loss else len(losses)
            return stacked.sum() / num_losses
        vocab_size = {
            stream.name: stream.vocab_size if config.published_loss else 1
            for stream in self.streams
            if isinstance(stream, TokenStream)
        }
        weights = stacked.new_tensor([counts[name] * vocab_size[name] for name in losses])
        return (stacked * weights).sum() / weights.sum()

    def _decoder_mask(self, batch: TokenBatch) -> Bool[Tensor, "b 1 m m"]:
        """True where a slot may look: at its own stream, and in sequences not ahead. Padding looks at padding."""
        stream = torch.where(batch.decoder_visible, batch.decoder_stream, -1)
        same = stream[:, :, None] == stream[:, None, :]
        order = torch.arange(stream.shape[1], device=stream.device)
        behind = order[None, :] <= order[:, None]
        free = ~self.is_sequence[batch.decoder_stream]
        return (same & (behind | free[:, :, None]))[:, None]

    def _target_slots_by_stream(self, batch: TokenBatch) -> dict[str, Int[Tensor, " r"]]:
        """The flattened decoder slots that have a target, by stream; one transfer to the host, not one a stream."""
        target_stream = torch.where(batch.targets != IGNORE, batch.decoder_stream, len(self.streams)).flatten()
        order = target_stream.argsort(stable=True)
        counts = torch.bincount(target_stream, minlength=len(self.streams) + 1).tolist()
        parts = torch.split(order, counts)
        return {stream.name: rows for stream, rows in zip(self.streams, parts, strict=False) if rows.numel()}


def key_mask(visible: Bool[Tensor, "b n"]) -> Bool[Tensor, "b 1 1 n"] | None:
    """The mask of keys that are there; None where all are. A sample with none sees its padding, which is zero."""
    if visible.device.type == "cpu" and bool(visible.all()):
        return None
    return (visible | ~visible.any(dim=1, keepdim=True))[:, None, None, :]
