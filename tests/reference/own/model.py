"""A published 4M model in the plainest form: one sample, one modality at a time, no padding, no masks, in fp64.

It works on tensors under their published names. The decoder is run once for each modality, for none looks at another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class VisibleTokens:
    """What a sample has of one modality."""

    ids: tuple[int, ...] = ()
    rows: Tensor | None = None
    """Patches or vectors in place of ids."""
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlainModel:
    """Weights, and what the config says of them."""

    weights: Weights
    heads: int
    encoder_depth: int
    decoder_depth: int

    def encode(self, sample: Mapping[str, VisibleTokens]) -> tuple[Tensor, Tensor]:
        """The encoder's normed answer and the context, registers first."""
        vectors, places = [], []
        for number in range(self.num_registers):
            vectors.append(self.weights["register_tokens"][0, number])
            places.append(torch.zeros_like(vectors[-1]))
        for name, shown in sample.items():
            for slot, position in enumerate(shown.positions):
                place = self._place("encoder_embeddings", name, position)
                vectors.append(self._vector(name, shown, slot) + place)
                places.append(place)
        x = torch.stack(vectors)
        for depth in range(self.encoder_depth):
            block = f"encoder.{depth}"
            x = x + self._attend(f"{block}.attn", self._norm(f"{block}.norm1", x), None, causal=False)
            x = x + self._mlp(f"{block}.mlp", self._norm(f"{block}.norm2", x))
        encoded = self._norm("encoder_norm", x)
        return encoded, self._linear("decoder_proj_context", encoded) + torch.stack(places)

    def decode(self, context: Tensor, name: str, ids: tuple[int, ...] | None, positions: tuple[int, ...]) -> Tensor:
        """The decoder's normed answer at the places of one modality; ``ids`` of a sequence, None for a grid."""
        given = []
        for slot, position in enumerate(positions):
            vector = self.weights["mask_token"][0, 0] if ids is None else self._table(name)[ids[slot]]
            given.append(vector + self._place("decoder_embeddings", name, position))
        y = torch.stack(given)
        for depth in range(self.decoder_depth):
            block = f"decoder.{depth}"
            y = y + self._attend(f"{block}.self_attn", self._norm(f"{block}.norm1", y), None, causal=ids is not None)
            query, seen = self._norm(f"{block}.query_norm", y), self._norm(f"{block}.context_norm", context)
            y = y + self._attend(f"{block}.cross_attn", query, seen, causal=False)
            y = y + self._mlp(f"{block}.mlp", self._norm(f"{block}.norm2", y))
        return self._norm("decoder_norm", y)

    def logits(self, decoded: Tensor, name: str) -> Tensor:
        """Logits over the modality's vocabulary."""
        key = f"decoder_embeddings.{name}.to_logits.weight"
        return decoded @ (self.weights[key] if key in self.weights else self._table(name)).T

    @property
    def num_registers(self) -> int:
        """Register tokens."""
        return self.weights["register_tokens"].shape[1] if "register_tokens" in self.weights else 0

    def _table(self, name: str) -> Tensor:
        return self.weights[f"decoder_embeddings.{name}.token_emb.weight"]

    def _vector(self, name: str, shown: VisibleTokens, slot: int) -> Tensor:
        prefix = f"encoder_embeddings.{name}"
        if shown.rows is None:
            return self.weights[f"{prefix}.token_emb.weight"][shown.ids[slot]]
        part = "emb_proj" if f"{prefix}.emb_proj.weight" in self.weights else "proj"
        return self._linear(f"{prefix}.{part}", shown.rows[slot])

    def _place(self, side: str, name: str, position: int) -> Tensor:
        # One code for both sides, the encoder's where there is one, so that gradients add up in it.
        shared = f"encoder_embeddings.{name}.mod_emb"
        codes = self.weights[shared if shared in self.weights else f"{side}.{name}.mod_emb"]
        return self.weights[f"{side}.{name}.pos_emb"][0, position] + codes[0, 0]

    def _linear(self, name: str, x: Tensor) -> Tensor:
        y = x @ self.weights[f"{name}.weight"].T
        return y + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def _norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * self.weights[f"{name}.weight"]
        return normed + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else normed

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        hidden = self._linear(f"{name}.fc1", x)
        if f"{name}.fc3.weight" in self.weights:
            return self._linear(f"{name}.fc2", hidden * hidden.sigmoid() * self._linear(f"{name}.fc3", x))
        return self._linear(f"{name}.fc2", hidden * (1 + (hidden / math.sqrt(2)).erf()) / 2)

    def _attend(self, name: str, x: Tensor, context: Tensor | None, *, causal: bool) -> Tensor:
        d = x.shape[1]
        if context is None:
            parts = self._linear(f"{name}.qkv", x)
            query, key, value = parts[:, :d], parts[:, d : 2 * d], parts[:, 2 * d :]
        else:
            query, parts = self._linear(f"{name}.q", x), self._linear(f"{name}.kv", context)
            key, value = parts[:, :d], parts[:, d:]
        width, gathered = d // self.heads, []
        for head in range(self.heads):
            at = slice(head * width, (head + 1) * width)
            q, k = query[:, at], key[:, at]
            if f"{name}.q_norm.weight" in self.weights:
                q, k = self._norm(f"{name}.q_norm", q), self._norm(f"{name}.k_norm", k)
            rows = []
            for place in range(len(q)):
                seen = place + 1 if causal else len(k)
                share = (k[:seen] @ q[place] / math.sqrt(width)).exp()
                rows.append(share @ value[:seen, at] / share.sum())
            gathered.append(torch.stack(rows))
        return self._linear(f"{name}.proj", torch.cat(gathered, dim=1))


def mean_loss(logits: list[Tensor], targets: list[int]) -> Tensor:
    """Cross-entropy of rows of logits."""
    losses = [row.logsumexp(0) - row[target] for row, target in zip(logits, targets, strict=True)]
    return torch.stack(losses).mean()


def sines(num: int, width: int) -> Tensor:
    """Sines and cosines of ``num`` places in order."""
    table = torch.zeros(num, width, dtype=torch.float64)
    for place in range(num):
        for pair in range(width // 2):
            angle = place / 10_000 ** (pair / (width // 2))
            table[place, pair], table[place, width // 2 + pair] = math.sin(angle), math.cos(angle)
    return table


def grid_sines(side: int, width: int) -> Tensor:
    """The same of a grid's places, the row's codes before the column's."""
    axis = sines(side, width // 2)
    return torch.stack([torch.cat([axis[row], axis[column]]) for row in range(side) for column in range(side)])


def patches(image: Tensor, patch: int) -> Tensor:
    """Flat patches (n, patch * patch * channels) of an image (c, h, w), channels innermost."""
    side = image.shape[1] // patch
    cut = [
        image[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch].permute(1, 2, 0).flatten()
        for row in range(side)
        for column in range(side)
    ]
    return torch.stack(cut)


def double(weights: Weights) -> dict[str, Tensor]:
    """Weights in fp64 that gradients are asked of."""
    return {name: value.double().requires_grad_() for name, value in weights.items()}
