"""The 4M model: an encoder over the visible tokens of all modalities, and a decoder that predicts the targets.

Source: Mizrahi et al. 2023 (arXiv:2312.06647) and Bachmann et al. 2024 (arXiv:2406.09406). Unlike in the published
code, tokens are selected before they are embedded (see `networks.batch.TokenBatch`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from networks.batch import IGNORE, TokenBatch
from networks.fourm.config import FourMConfig, Init, LossReduction, Sharing
from networks.fourm.embedding import InputProjection, PositionEmbedding, TokenEmbedding, add_projected_inputs
from networks.fourm.heads import output_weights, predictable_ids, stream_losses
from networks.fourm.init import init_linears, init_local_attention, init_positions, init_tables, init_vectors
from networks.kernels.linear import OneDNNLinear, PackedLinear, copy_with_packed_weights, linear
from networks.kernels.packing import key_mask, plain_mask, query_mask, to_rows, to_slots
from networks.kernels.torch_ops import disable_autograd_cache
from networks.layers.blocks import Block, DecoderBlock, KeyValues, KVCache, layer_norm, tile_batch
from networks.streams import EmbeddingStream, PixelStream, SequenceStream, Stream, TokenStream, token_stream


@dataclass(frozen=True, kw_only=True)
class FourMOutput:
    """Loss of a batch and its parts."""

    loss: Float[Tensor, ""]
    losses: dict[str, Tensor]
    """Mean cross-entropy of each stream that has a target in the batch, in nats."""
    counts: dict[str, int]
    """Number of targets of each of these streams."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Input of the decoder's cross-attention."""

    values: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b 1 1 n"] | None
    """True for keys that may be attended to; None for all."""


class FourM(nn.Module):
    """The encoder-decoder over a set of streams."""

    is_sequence: Tensor

    def __init__(self, streams: Sequence[Stream], config: FourMConfig, *, initialized: bool = True) -> None:
        """Build the model.

        Args:
            initialized: False leaves the weights as allocated, for a caller that loads them.
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
        self.packed_heads: dict[str, PackedLinear] | None = None
        if initialized:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights as ``config.init`` says, from torch's global generator."""
        init = self.config.init
        init_linears(self)
        tables = dict.fromkeys((self.tokens, self.heads, self.decoder_token_embedding))
        init_tables([item.table for item in tables], self.heads.table, init)
        first, second = self.position_embedding, self.decoder_position_embedding
        init_vectors([first.stream, self.mask_token, *([second.stream] * (second.stream is not first.stream))], init)
        learned = [item.learned for item in dict.fromkeys((first, second)) if item.learned is not None]
        init_positions(learned, init)
        init_vectors([] if self.registers is None else [self.registers], init)
        if init is Init.local:
            init_local_attention([cast(DecoderBlock, block).cross for block in self.decoder], self.context_projection)

    def forward(self, batch: TokenBatch) -> FourMOutput:
        """Cross-entropy of all targets of the batch, averaged as ``config.loss_reduction`` says."""
        decoded = self.decode(batch, self.encode(batch)).flatten(0, 1)
        rows = self._target_slots_by_stream(batch)
        if not rows:
            return FourMOutput(loss=decoded.sum() * 0.0, losses={}, counts={})
        streams = {name: token_stream(self.streams[self.index[name]]) for name in rows}
        losses = stream_losses(decoded, batch.targets.flatten(), rows, streams, self.heads.all_vocabulary_rows())
        counts = {name: own.numel() for name, own in rows.items()}
        return FourMOutput(loss=self._total(losses, counts), losses=losses, counts=counts)

    def compile_blocks(self) -> None:
        """Compile each transformer block on its own, for training on GPUs.

        Blocks of one kind share one graph, so 48 of them compile as fast as two, and their shapes do not change from
        batch to batch. The embedding of packed inputs and the heads, whose shapes do, are not compiled.
        """
        disable_autograd_cache()
        self._has_fixed_shapes = True
        for block in [*self.encoder, *self.decoder]:
            block.compile()

    def inference_copy(self) -> "FourM":
        """A copy that shares this model's weights, for many calls without gradients while the weights stay constant.

        It prepares the weights of linear maps and heads once instead of at every call.
        """
        model_copy = copy_with_packed_weights(self)
        model_copy.packed_heads = {}
        return model_copy

    def logits(self, batch: TokenBatch) -> dict[str, tuple[Float[Tensor, "r v"], Int[Tensor, " r"]]]:
        """Logits of each stream with targets, and the index of each row in the decoder's flattened slots."""
        decoded = self.decode(batch, self.encode(batch)).flatten(0, 1)
        return {
            name: (self.stream_logits(decoded[rows], name), rows)
            for name, rows in self._target_slots_by_stream(batch).items()
        }

    def encode(self, batch: TokenBatch) -> Context:
        """Encode the visible tokens, project to the decoder, and add position embeddings again."""
        places = self.position_embedding(batch.stream, batch.position)
        x = add_projected_inputs(self.tokens(batch.ids, batch.stream) + places, batch, self.input_projections)
        visible = batch.visible
        x = torch.where(visible[..., None], x, 0.0)
        if self.registers is not None:
            x = torch.cat([self.registers.to(x.dtype).expand(len(x), -1, -1), x], dim=1)
            visible = F.pad(visible, (self.config.registers, 0), value=True)
            places = F.pad(places, (0, 0, self.config.registers, 0))
        mask = key_mask(visible, pack=not self._has_fixed_shapes)
        x = to_rows(x, mask)
        for block in self.encoder:
            x = block(x, mask)
        # From here on slots: the decoder's keys and values are a fifteenth of the work, and callers expect slots.
        context: Tensor = self.context_projection(self.encoder_norm(to_slots(x, mask))) + places
        return Context(values=torch.where(visible[..., None], context, 0.0), mask=plain_mask(mask))

    def decode(self, batch: TokenBatch, context: Context) -> Float[Tensor, "b m d"]:
        """The decoder's normed output at each slot; undefined at padding."""
        mask = query_mask(batch.decoder_visible, self._decoder_mask(batch), pack=not self._has_fixed_shapes)
        decoder_inputs = (batch.decoder_ids, batch.decoder_stream, batch.decoder_position)
        x = self.embed_targets(*(to_rows(item, mask) for item in decoder_inputs))
        for block in self.decoder:
            x, _ = block(x, context.values, mask=mask, context_mask=context.mask)
        return to_slots(self.decoder_norm(x), mask)

    def cross_attention_kv(self, *contexts: Context) -> list[list[KeyValues]]:
        """Keys and values of the contexts for each decoder block, for any number of `decode_step` calls."""
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
        """The decoder's output for new slots, which attend to each other and to all earlier ones.

        Args:
            x: Slots of all samples, or of one guidance branch if all branches have the same.
            context_kv: From `cross_attention_kv`.
            past_key_values: Caches of earlier slots; the new slots are appended.
            mask: True where a slot may attend; None for everywhere.
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
        """A cache for ``max_length`` decoder slots of ``rows`` samples, for each block."""
        width, heads, _, depth = self.config.shape
        like = self.mask_token
        shape = (rows, heads, max_length, width // heads)
        return [KVCache(key=like.new_empty(shape), value=like.new_empty(shape)) for _ in range(depth)]

    def embed_targets(
        self, ids: Int[Tensor, "*slots"], stream: Int[Tensor, "*slots"], position: Int[Tensor, "*slots"]
    ) -> Float[Tensor, "*slots d"]:
        """The decoder's input: the previous id for sequences, the mask token for grids, plus position embeddings."""
        known: Tensor = self.decoder_token_embedding(ids, stream)
        given = torch.where(self.is_sequence[stream][..., None], known, self.mask_token.to(known.dtype))
        embedded: Tensor = given + self.decoder_position_embedding(stream, position)
        return embedded

    def stream_logits(self, decoded: Float[Tensor, "*rows d"], stream: str) -> Float[Tensor, "*rows v"]:
        """Logits over the stream's vocabulary, in fp32; -inf for ids that are not predictable."""
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
        """One loss from the means of the streams."""
        stacked, reduction = torch.stack(list(losses.values())), self.config.loss_reduction
        match reduction:
            case LossReduction.modality:
                return stacked.sum() / len(losses)
            case LossReduction.published_modality:
                return stacked.sum() / sum(stream.is_target for stream in self.streams)
            case LossReduction.token:
                weights = [counts[name] for name in losses]
            case LossReduction.published_token:
                vocab_size = {item.name: item.vocab_size for item in self.streams if isinstance(item, TokenStream)}
                weights = [counts[name] * vocab_size[name] for name in losses]
            case _:
                assert_never(reduction)
        weight = stacked.new_tensor(weights)
        return (stacked * weight).sum() / weight.sum()

    def _decoder_mask(self, batch: TokenBatch) -> Bool[Tensor, "b 1 m m"]:
        """True where a slot may attend: within its stream, causally in sequences. Padding attends to padding."""
        stream = torch.where(batch.decoder_visible, batch.decoder_stream, -1)
        same = stream[:, :, None] == stream[:, None, :]
        order = torch.arange(stream.shape[1], device=stream.device)
        behind = order[None, :] <= order[:, None]
        free = ~self.is_sequence[batch.decoder_stream]
        return (same & (behind | free[:, :, None]))[:, None]

    def _target_slots_by_stream(self, batch: TokenBatch) -> dict[str, Int[Tensor, " r"]]:
        """Flattened decoder slots that have a target, by stream, with one transfer to the host for all streams."""
        target_stream = torch.where(batch.targets != IGNORE, batch.decoder_stream, len(self.streams)).flatten()
        order = target_stream.argsort(stable=True)
        counts = torch.bincount(target_stream, minlength=len(self.streams) + 1).tolist()
        parts = torch.split(order, counts)
        return {stream.name: rows for stream, rows in zip(self.streams, parts, strict=False) if rows.numel()}
