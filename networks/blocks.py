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

from networks.linear import Map
from networks.packing import Packing, in_rows, in_slots


@dataclass(frozen=True, kw_only=True)
class Biases:
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
    def everywhere(cls) -> "Biases":
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
    biases: Biases = Biases()
    qk_norm: bool = False
    """True where queries and keys are normalised per head."""
    norm_eps: float = 1e-6


def norm(config: BlockConfig) -> nn.LayerNorm:
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


class _HeadNorms(nn.Module):
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

    def among(self, rows: Int[Tensor, " r"]) -> "KeyValues":
        """Those of some of the samples."""
        mask = None if self.mask is None else self.mask[rows]
        return KeyValues(key=self.key[rows], value=self.value[rows], mask=mask)


@dataclass(kw_only=True)
class Cache:
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

    def among(self, rows: Int[Tensor, " r"]) -> "Cache":
        """The cache of some of the samples."""
        return Cache(key=self.key[rows], value=self.value[rows], length=self.length)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence over itself."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = Map(config.width, 3 * config.width, bias=config.biases.queries)
        self.out = Map(config.width, config.width, bias=config.biases.outputs)
        self.norms = _HeadNorms(config)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        mask: Bool[Tensor, "#b #h #n k"] | None = None,
        past: Cache | None = None,
        packing: Packing | None = None,
    ) -> tuple[Float[Tensor, "*slots d"], KeyValues]:
        """What each token gathers from the others, and the keys and values so far.

        Args:
            x: (b, n, d), or rows of ``packing``.
            past: Keys and values of earlier tokens, which are looked at too.
        """
        mapped = in_slots(self.qkv(x), packing)
        query, key, value = rearrange(mapped, "b n (three h e) -> three b h n e", three=3, h=self.heads)
        seen = KeyValues(key=self.norms.key(key), value=value)
        if past is not None:
            seen = past.extend(seen.key, seen.value)
        gathered = attend(self.norms.query(query), seen.key, seen.value, mask)
        return self.out(in_rows(gathered, packing)), seen


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence over a context."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = Map(config.width, config.width, bias=config.biases.queries)
        self.key_value = Map(config.width, 2 * config.width, bias=config.biases.queries)
        self.out = Map(config.width, config.width, bias=config.biases.outputs)
        self.norms = _HeadNorms(config)

    def keys_values(self, context: Float[Tensor, "b n d"], mask: Bool[Tensor, "b 1 1 n"] | None = None) -> KeyValues:
        """The context's keys and values, computed once for any number of queries."""
        key, value = rearrange(self.key_value(context), "b n (two h e) -> two b h n e", two=2, h=self.heads)
        return KeyValues(key=self.norms.key(key), value=value, mask=mask)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        seen: Sequence[KeyValues],
        packing: Packing | None = None,
    ) -> Float[Tensor, "*answers d"]:
        """What each token of ``x`` gathers from the context.

        Args:
            seen: Of one or more batches one under another, each as long as it is: a short one costs no padding. They
                may be a multiple of ``x``, which is then the same for all of them.
        """
        query = self.norms.query(rearrange(in_slots(self.query(x), packing), "b m (h e) -> b h m e", h=self.heads))
        rows = [len(part.key) for part in seen]
        queries = repeated(query, sum(rows)).split(rows)
        parts = [attend(own, part.key, part.value, part.mask) for own, part in zip(queries, seen, strict=True)]
        out: Tensor = self.out(in_rows(torch.cat(parts) if len(parts) > 1 else parts[0], packing))
        return out


class MLP(nn.Module):
    """The position-wise network: SwiGLU (Shazeer 2020, arXiv:2002.05202) or GELU."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        hidden = int(config.width * config.mlp_ratio * (2 / 3 if config.gated else 1))
        outputs = 2 * hidden if config.gated else hidden
        self.up = Map(config.width, outputs, bias=config.biases.mlp, gated=config.gated)
        self.down = Map(hidden, config.width, bias=config.biases.mlp)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The MLP's answer at each position."""
        hidden: Tensor = self.up(x)
        out: Tensor = self.down(hidden if self.up.gated else F.gelu(hidden))
        return out


class Block(nn.Module):
    """An encoder block: self-attention, then MLP, each on a normed copy and added back."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.attention_norm = norm(config)
        self.attention = SelfAttention(config)
        self.mlp_norm = norm(config)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        mask: Bool[Tensor, "#b #h #n n"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "*slots d"]:
        """The tokens after the block: (b, n, d), or rows of ``packing``."""
        gathered, _ = self.attention(self.attention_norm(x), mask, packing=packing)
        x = x + gathered
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


def repeated(x: Tensor, rows: int) -> Tensor:
    """``x`` under itself until there are that many rows."""
    return x if len(x) == rows else x.repeat(rows // len(x), *[1] * (x.dim() - 1))


class DecoderBlock(nn.Module):
    """A decoder block: self-attention, cross-attention over the context, MLP."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.attention_norm = norm(config)
        self.attention = SelfAttention(config)
        self.query_norm = norm(config)
        self.context_norm = norm(config)
        self.cross = CrossAttention(config)
        self.mlp_norm = norm(config)
        self.mlp = MLP(config)

    def look_at(self, context: Float[Tensor, "b n d"], mask: Bool[Tensor, "b 1 1 n"] | None = None) -> KeyValues:
        """The context's keys and values for this block."""
        return self.cross.keys_values(self.context_norm(context), mask)

    def forward(
        self,
        x: Float[Tensor, "*slots d"],
        context: Sequence[KeyValues] | Float[Tensor, "b n d"],
        *,
        mask: Bool[Tensor, "#b #h #m k"] | None = None,
        context_mask: Bool[Tensor, "b 1 1 n"] | None = None,
        past: Cache | None = None,
        packing: Packing | None = None,
    ) -> tuple[Float[Tensor, "*answers d"], KeyValues]:
        """The tokens after the block, and the self-attention's keys and values so far.

        Args:
            x: (b, m, d), or rows of ``packing``.
            context: What is cross-attended to, or keys and values from `look_at`, which any number of calls share, of
                one or more batches one under another. Of those there may be a multiple of ``x``, as of the answer.
            context_mask: True where there is something to look at in a context that is given itself.
        """
        seen = [self.look_at(context, context_mask)] if isinstance(context, Tensor) else context
        gathered, own = self.attention(self.attention_norm(x), mask, past, packing)
        x = x + gathered
        crossed = self.cross(self.query_norm(x), seen, packing)
        x = repeated(x, len(crossed)) + crossed
        return x + self.mlp(self.mlp_norm(x)), own
