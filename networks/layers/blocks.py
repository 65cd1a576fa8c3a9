"""Transformer blocks: the only copy of attention, MLP and norm in the project.

Everything is pre-norm. Attention is `scaled_dot_product_attention`; masks are boolean, True where a query may look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from networks.kernels.linear import OneDNNLinear
from networks.kernels.packing import Packing, pack_rows, unpack_rows


@dataclass(frozen=True, kw_only=True)
class BiasConfig:
    """Which linear maps and norms have a bias."""

    norms: bool = False
    queries: bool = False
    """Queries, keys and values."""
    outputs: bool = False
    """The map behind the attention's heads."""
    mlp: bool = False
    context: bool = False
    """The map from the encoder's answer to the decoder's context."""
    embeddings: bool = False
    """The map that vectors enter the encoder by."""

    @classmethod
    def all_enabled(cls) -> "BiasConfig":
        """All of them."""
        return cls(norms=True, queries=True, outputs=True, mlp=True, context=True, embeddings=True)


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """The shape of one transformer block."""

    width: int
    heads: int
    mlp_ratio: float = 4.0
    """Hidden width of the MLP over ``width``; a gated one takes two thirds of it, at the same number of weights."""
    gated: bool = True
    """True for SwiGLU, False for GELU."""
    biases: BiasConfig = BiasConfig()
    qk_norm: bool = False
    """True where queries and keys are normalised per head."""
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
    """What each query gathers from the values, heads side by side."""
    return rearrange(F.scaled_dot_product_attention(query, key, value, attn_mask=mask), "b h m e -> b m (h e)")


class _QKNorm(nn.Module):
    """Norms over each head's queries and keys; the identity where the config has none."""

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
    """Keys and values of tokens, for queries that come later."""

    key: Float[Tensor, "b h n e"]
    value: Float[Tensor, "b h n e"]
    mask: Bool[Tensor, "b 1 1 n"] | None = None
    """True where there is something to look at; None where that is everywhere."""

    def select(self, rows: Int[Tensor, " r"]) -> "KeyValues":
        """Those of some of the samples."""
        mask = None if self.mask is None else self.mask[rows]
        return KeyValues(key=self.key[rows], value=self.value[rows], mask=mask)


@dataclass(kw_only=True)
class KVCache:
    """Room for the keys and values of tokens that come one after another, filled from the front.

    A token is written into its place; what was there is not moved, so a token costs the same however many there are.
    """

    key: Float[Tensor, "b h room e"]
    value: Float[Tensor, "b h room e"]
    length: int = 0

    def extend(self, key: Float[Tensor, "b h m e"], value: Float[Tensor, "b h m e"]) -> KeyValues:
        """Take the new ones in; all so far."""
        end = self.length + key.shape[2]
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return KeyValues(key=self.key[:, :, :end], value=self.value[:, :, :end])

    def select(self, rows: Int[Tensor, " r"]) -> "KVCache":
        """The cache of some of the samples."""
        return KVCache(key=self.key[rows], value=self.value[rows], length=self.length)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence over itself."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = OneDNNLinear(config.width, 3 * config.width, bias=config.biases.queries)
        self.out = OneDNNLinear(config.width, config.width, bias=config.biases.outputs)
        self.norms = _QKNorm(config)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        mask: Bool[Tensor, "#b #h #n k"] | None = None,
        past_key_values: KVCache | None = None,
        packing: Packing | None = None,
    ) -> tuple[Float[Tensor, "*slots d"], KeyValues]:
        """What each token gathers from the others, and the keys and values so far.

        Args:
            x: (b, n, d), or rows of ``packing``.
            past: Keys and values of earlier tokens, which are looked at too.
        """
        projected = unpack_rows(self.qkv(x), packing)
        query, key, value = rearrange(projected, "b n (three h e) -> three b h n e", three=3, h=self.heads)
        key_values = KeyValues(key=self.norms.key(key), value=value)
        if past_key_values is not None:
            key_values = past_key_values.extend(key_values.key, key_values.value)
        attended = attend(self.norms.query(query), key_values.key, key_values.value, mask)
        return self.out(pack_rows(attended, packing)), key_values


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence over a context."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = OneDNNLinear(config.width, config.width, bias=config.biases.queries)
        self.key_value = OneDNNLinear(config.width, 2 * config.width, bias=config.biases.queries)
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
        packing: Packing | None = None,
    ) -> Float[Tensor, "*answers d"]:
        """What each token of ``x`` gathers from the context.

        Args:
            seen: Of one or more batches one under another, each as long as it is: a short one costs no padding. They
                may be a multiple of ``x``, which is then the same for all of them.
        """
        query = self.norms.query(rearrange(unpack_rows(self.query(x), packing), "b m (h e) -> b h m e", h=self.heads))
        rows = [len(part.key) for part in key_values]
        queries = tile_batch(query, sum(rows)).split(rows)
        parts = [
            attend(self_kv, part.key, part.value, part.mask) for self_kv, part in zip(queries, key_values, strict=True)
        ]
        out: Tensor = self.out(pack_rows(torch.cat(parts) if len(parts) > 1 else parts[0], packing))
        return out


class MLP(nn.Module):
    """The position-wise network: SwiGLU (Shazeer 2020, arXiv:2002.05202) or GELU."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        hidden = int(config.width * config.mlp_ratio * (2 / 3 if config.gated else 1))
        outputs = 2 * hidden if config.gated else hidden
        self.up = OneDNNLinear(config.width, outputs, bias=config.biases.mlp, gated=config.gated)
        self.down = OneDNNLinear(hidden, config.width, bias=config.biases.mlp)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The MLP's answer at each position."""
        hidden: Tensor = self.up(x)
        out: Tensor = self.down(hidden if self.up.gated else F.gelu(hidden))
        return out


class Block(nn.Module):
    """An encoder block: self-attention, then MLP, each on a normed copy and added back."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.attention_norm = layer_norm(config)
        self.attention = SelfAttention(config)
        self.mlp_norm = layer_norm(config)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        mask: Bool[Tensor, "#b #h #n n"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "*slots d"]:
        """The tokens after the block: (b, n, d), or rows of ``packing``."""
        attended, _ = self.attention(self.attention_norm(x), mask, packing=packing)
        x = x + attended
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


def tile_batch(x: Tensor, rows: int) -> Tensor:
    """``x`` under itself until there are that many rows."""
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
        mask: Bool[Tensor, "#b #h #m k"] | None = None,
        context_mask: Bool[Tensor, "b 1 1 n"] | None = None,
        past_key_values: KVCache | None = None,
        packing: Packing | None = None,
    ) -> tuple[Float[Tensor, "*answers d"], KeyValues]:
        """The tokens after the block, and the self-attention's keys and values so far.

        Args:
            x: (b, m, d), or rows of ``packing``.
            context: What is cross-attended to, or keys and values from `look_at`, which any number of calls share, of
                one or more batches one under another. Of those there may be a multiple of ``x``, as of the answer.
            context_mask: True where there is something to look at in a context that is given itself.
        """
        key_values = [self.cross_attention_kv(context, context_mask)] if isinstance(context, Tensor) else context
        attended, self_kv = self.attention(self.attention_norm(x), mask, past_key_values, packing)
        x = x + attended
        cross_attended = self.cross(self.query_norm(x), key_values, packing)
        x = tile_batch(x, len(cross_attended)) + cross_attended
        return x + self.mlp(self.mlp_norm(x)), self_kv
