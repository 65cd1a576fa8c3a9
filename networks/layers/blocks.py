"""Transformer blocks: the only copy of attention, MLP and norm in the project.

Blocks are pre-norm. Attention is `scaled_dot_product_attention`; masks are boolean, True where a query may attend. A
`PackedMask` also says that tokens come as rows without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from networks.kernels.linear import OneDNNLinear
from networks.kernels.packing import AttentionMask, plain_mask, to_rows, to_slots


@dataclass(frozen=True, kw_only=True)
class BiasConfig:
    """Presence of biases, by kind of layer."""

    norms: bool = False
    queries: bool = False
    """Queries, keys and values."""
    outputs: bool = False
    """The output projection of attention."""
    mlp: bool = False
    context: bool = False
    """The projection from the encoder's output to the decoder's context."""
    embeddings: bool = False
    """The projection of vectors that enter the encoder."""

    @classmethod
    def all_enabled(cls) -> "BiasConfig":
        """Biases everywhere."""
        return cls(norms=True, queries=True, outputs=True, mlp=True, context=True, embeddings=True)


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """The shape of one transformer block."""

    width: int
    heads: int
    mlp_ratio: float = 4.0
    """Hidden width of the MLP over ``width``; a gated MLP takes two thirds of it, for the same number of weights."""
    gated: bool = True
    """True for SwiGLU, False for GELU."""
    biases: BiasConfig = BiasConfig()
    qk_norm: bool = False
    """True to normalise queries and keys per head."""
    norm_eps: float = 1e-6


def layer_norm(config: BlockConfig) -> nn.LayerNorm:
    """A layer norm over the block's width."""
    return nn.LayerNorm(config.width, eps=config.norm_eps, bias=config.biases.norms)


def attend(
    query: Float[Tensor, "b h m e"],
    key: Float[Tensor, "b h n e"],
    value: Float[Tensor, "b h n e"],
    mask: Bool[Tensor, "#b #h #m n"] | None,
) -> Float[Tensor, "b m d"]:
    """Attention output of each query, heads concatenated."""
    return rearrange(F.scaled_dot_product_attention(query, key, value, attn_mask=mask), "b h m e -> b m (h e)")


class _QKNorm(nn.Module):
    """Norms over each head's queries and keys; the identity without ``qk_norm``."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        width = config.width // config.heads
        self.query: nn.Module = nn.Identity()
        self.key: nn.Module = nn.Identity()
        if config.qk_norm:
            self.query = nn.LayerNorm(width, eps=config.norm_eps, bias=config.biases.norms)
            self.key = nn.LayerNorm(width, eps=config.norm_eps, bias=config.biases.norms)


@dataclass(kw_only=True)
class KeyValues:
    """Keys and values of tokens, for later queries."""

    key: Float[Tensor, "b h n e"]
    value: Float[Tensor, "b h n e"]
    mask: Bool[Tensor, "b 1 1 n"] | None = None
    """True for keys that may be attended to; None for all."""

    def select(self, rows: Int[Tensor, " r"]) -> "KeyValues":
        """Keys and values of the samples ``rows``."""
        mask = None if self.mask is None else self.mask[rows]
        return KeyValues(key=self.key[rows], value=self.value[rows], mask=mask)


@dataclass(kw_only=True)
class KVCache:
    """Preallocated keys and values of a growing sequence, filled from the front.

    Appending moves no earlier entries, so its cost does not depend on the length.
    """

    key: Float[Tensor, "b h max e"]
    value: Float[Tensor, "b h max e"]
    length: int = 0

    def extend(self, key: Float[Tensor, "b h m e"], value: Float[Tensor, "b h m e"]) -> KeyValues:
        """Append keys and values; all so far."""
        end = self.length + key.shape[2]
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return KeyValues(key=self.key[:, :, :end], value=self.value[:, :, :end])

    def select(self, rows: Int[Tensor, " r"]) -> "KVCache":
        """The cache of the samples ``rows``."""
        return KVCache(key=self.key[rows], value=self.value[rows], length=self.length)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence over itself."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = OneDNNLinear(config.width, 3 * config.width, bias=config.biases.queries, num_maps=3)
        self.out = OneDNNLinear(config.width, config.width, bias=config.biases.outputs)
        self.norms = _QKNorm(config)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        mask: AttentionMask = None,
        past_key_values: KVCache | None = None,
    ) -> tuple[Float[Tensor, "*slots d"], KeyValues]:
        """The attention output of each token, and all keys and values so far.

        Args:
            x: (b, n, d), or the rows of a `PackedMask`.
            past_key_values: Keys and values of earlier tokens, which are attended to as well; takes in the new ones.
        """
        projected = to_slots(self.qkv(x), mask)
        query, key, value = rearrange(projected, "b n (three h e) -> three b h n e", three=3, h=self.heads)
        key_values = KeyValues(key=self.norms.key(key), value=value)
        if past_key_values is not None:
            key_values = past_key_values.extend(key_values.key, key_values.value)
        attended = attend(self.norms.query(query), key_values.key, key_values.value, plain_mask(mask))
        return self.out(to_rows(attended, mask)), key_values


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence over a context."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = OneDNNLinear(config.width, config.width, bias=config.biases.queries)
        self.key_value = OneDNNLinear(config.width, 2 * config.width, bias=config.biases.queries, num_maps=2)
        self.out = OneDNNLinear(config.width, config.width, bias=config.biases.outputs)
        self.norms = _QKNorm(config)

    def project_context(
        self, context: Float[Tensor, "b n d"], mask: Bool[Tensor, "b 1 1 n"] | None = None
    ) -> KeyValues:
        """The context's keys and values, computed once for any number of queries."""
        key, value = rearrange(self.key_value(context), "b n (two h e) -> two b h n e", two=2, h=self.heads)
        return KeyValues(key=self.norms.key(key), value=value, mask=mask)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        key_values: Sequence[KeyValues],
        layout: AttentionMask = None,
    ) -> Float[Tensor, "*outputs d"]:
        """Attention output of each token of ``x`` over the context.

        Args:
            key_values: Of one or more contexts that form one batch, each with its own length. Together they may have a
                multiple of the samples of ``x``, which is then repeated.
            layout: The self-attention's mask, for the layout of ``x``.
        """
        query = self.norms.query(rearrange(to_slots(self.query(x), layout), "b m (h e) -> b h m e", h=self.heads))
        rows = [len(part.key) for part in key_values]
        queries = tile_batch(query, sum(rows)).split(rows)
        parts = [attend(own, part.key, part.value, part.mask) for own, part in zip(queries, key_values, strict=True)]
        out: Tensor = self.out(to_rows(torch.cat(parts) if len(parts) > 1 else parts[0], layout))
        return out


class MLP(nn.Module):
    """The position-wise network: SwiGLU (Shazeer 2020, arXiv:2002.05202) or GELU."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.gated = config.gated
        hidden = int(config.width * config.mlp_ratio * (2 / 3 if config.gated else 1))
        num_maps = 2 if config.gated else 1
        self.up = OneDNNLinear(config.width, num_maps * hidden, bias=config.biases.mlp, num_maps=num_maps)
        self.down = OneDNNLinear(hidden, config.width, bias=config.biases.mlp)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The MLP's output at each position."""
        hidden: Tensor = self.up(x)
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            hidden = F.silu(gate) * value
        else:
            hidden = F.gelu(hidden)
        out: Tensor = self.down(hidden)
        return out


class Block(nn.Module):
    """An encoder block: self-attention, then MLP, each pre-norm with a residual connection."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.attention_norm = layer_norm(config)
        self.attention = SelfAttention(config)
        self.mlp_norm = layer_norm(config)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        mask: AttentionMask = None,
    ) -> Float[Tensor, "*slots d"]:
        """The tokens after the block: (b, n, d), or the rows of a `PackedMask`."""
        attended, _ = self.attention(self.attention_norm(x), mask)
        x = x + attended
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


def tile_batch(x: Tensor, rows: int) -> Tensor:
    """``x`` repeated along the batch axis until it has ``rows`` samples."""
    return x if len(x) == rows else x.repeat(rows // len(x), *[1] * (x.dim() - 1))


class DecoderBlock(nn.Module):
    """A decoder block: self-attention, cross-attention over the context, MLP."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.attention_norm = layer_norm(config)
        self.attention = SelfAttention(config)
        self.query_norm = layer_norm(config)
        self.context_norm = layer_norm(config)
        self.cross = CrossAttention(config)
        self.mlp_norm = layer_norm(config)
        self.mlp = MLP(config)

    def cross_attention_kv(
        self, context: Float[Tensor, "b n d"], mask: Bool[Tensor, "b 1 1 n"] | None = None
    ) -> KeyValues:
        """The context's keys and values for this block."""
        return self.cross.project_context(self.context_norm(context), mask)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        context: Sequence[KeyValues] | Float[Tensor, "b n d"],
        *,
        mask: AttentionMask = None,
        context_mask: Bool[Tensor, "b 1 1 n"] | None = None,
        past_key_values: KVCache | None = None,
    ) -> tuple[Float[Tensor, "*outputs d"], KeyValues]:
        """The tokens after the block, and the self-attention's keys and values so far.

        Args:
            x: (b, m, d), or the rows of a `PackedMask`.
            context: The context, or its keys and values from `cross_attention_kv`, which any number of calls can share.
                Those may belong to several contexts and have a multiple of the samples of ``x``, as has the output.
            context_mask: Keys of a context given as a tensor that may be attended to.
        """
        key_values = [self.cross_attention_kv(context, context_mask)] if isinstance(context, Tensor) else context
        attended, self_kv = self.attention(self.attention_norm(x), mask, past_key_values)
        x = x + attended
        cross_attended = self.cross(self.query_norm(x), key_values, mask)
        x = tile_batch(x, len(cross_attended)) + cross_attended
        return x + self.mlp(self.mlp_norm(x)), self_kv
