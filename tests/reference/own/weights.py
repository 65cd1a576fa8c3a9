"""Random weights of published models under their published names, for settings that the config can say."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.reference.own.model import grid_sines, sines


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A tokenized or raw image."""

    side: int
    vocab_size: int = 0
    patch: int = 0
    """Above 0 for pixels."""
    learned: bool = False


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """Text, or vectors in an order."""

    vocab_size: int = 0
    channels: int = 0
    """Above 0 for vectors."""
    learned: bool = False


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the config says."""

    domains_in: dict[str, Grid | Sequence]
    domains_out: tuple[str, ...]
    output_only: dict[str, Grid | Sequence]
    """Modalities that are outputs only."""
    width: int = 32
    heads: int = 2
    encoder_depth: int = 2
    decoder_depth: int = 2
    gated: bool = True
    norm_bias: bool = False
    qkv_bias: bool = False
    proj_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    registers: int = 0

    @property
    def all_domains(self) -> dict[str, Grid | Sequence]:
        """Every modality."""
        return {**self.domains_in, **self.output_only}

    def config(self) -> dict[str, Any]:
        """As the checkpoint's metadata has it."""
        return {
            "domains_in": list(self.domains_in),
            "domains_out": list(self.domains_out),
            "image_size": 224,
            "patch_size": 16,
            "dim": self.width,
            "encoder_depth": self.encoder_depth,
            "decoder_depth": self.decoder_depth,
            "num_heads": self.heads,
            "mlp_ratio": 4.0,
            "act_layer": "SiLU" if self.gated else "GELU",
            "gated_mlp": self.gated,
            "qk_norm": self.qk_norm,
            "num_register_tokens": self.registers,
            "norm_bias": self.norm_bias,
            "qkv_bias": self.qkv_bias,
            "proj_bias": self.proj_bias,
            "mlp_bias": self.mlp_bias,
        }


def random_weights(setting: Setting, seed: int) -> dict[str, Tensor]:
    """Every tensor of a checkpoint."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 0.3, mean: float = 0.0) -> Tensor:
        return mean + scale * torch.randn(shape, generator=generator)

    d, out = setting.width, {}

    def linear(name: str, rows: int, columns: int, *, bias: bool) -> None:
        out[f"{name}.weight"] = draw(rows, columns)
        if bias:
            out[f"{name}.bias"] = draw(rows)

    def norm(name: str, width: int) -> None:
        out[f"{name}.weight"] = draw(width, mean=1.0)
        # Published norms without a bias keep a zero one.
        out[f"{name}.bias"] = draw(width) if setting.norm_bias else torch.zeros(width)

    def attention(name: str, maps: dict[str, int]) -> None:
        for part, times in maps.items():
            linear(f"{name}.{part}", times * d, d, bias=setting.qkv_bias)
        linear(f"{name}.proj", d, d, bias=setting.proj_bias)
        if setting.qk_norm:
            norm(f"{name}.q_norm", d // setting.heads)
            norm(f"{name}.k_norm", d // setting.heads)

    def mlp(name: str) -> None:
        hidden = int(2 * (4 * d) / 3) if setting.gated else 4 * d
        for part in ("fc1", "fc3") if setting.gated else ("fc1",):
            linear(f"{name}.{part}", hidden, d, bias=setting.mlp_bias)
        linear(f"{name}.fc2", d, hidden, bias=setting.mlp_bias)

    for depth in range(setting.encoder_depth):
        for part in ("norm1", "norm2"):
            norm(f"encoder.{depth}.{part}", d)
        attention(f"encoder.{depth}.attn", {"qkv": 3})
        mlp(f"encoder.{depth}.mlp")
    for depth in range(setting.decoder_depth):
        for part in ("norm1", "norm2", "query_norm", "context_norm"):
            norm(f"decoder.{depth}.{part}", d)
        attention(f"decoder.{depth}.self_attn", {"qkv": 3})
        attention(f"decoder.{depth}.cross_attn", {"q": 1, "kv": 2})
        mlp(f"decoder.{depth}.mlp")
    norm("encoder_norm", d)
    norm("decoder_norm", d)
    linear("decoder_proj_context", d, d, bias=True)
    out["mask_token"] = draw(1, 1, d)
    if setting.registers:
        out["register_tokens"] = draw(1, setting.registers, d)
    for name, kind in setting.all_domains.items():
        code = draw(1, 1, d)
        for side, here in (("encoder", name in setting.domains_in), ("decoder", name in setting.domains_out)):
            if here:
                out |= _embedding(
                    f"{side}_embeddings.{name}", kind, code, draw, d, setting, is_decoder=side == "decoder"
                )
    return out


def _embedding(
    prefix: str, kind: Grid | Sequence, code: Tensor, draw: Any, d: int, setting: Setting, *, is_decoder: bool
) -> dict[str, Tensor]:
    num = kind.side**2 if isinstance(kind, Grid) else 512
    if kind.learned:
        positions = draw(1, num, d)
    else:
        positions = (grid_sines(kind.side, d) if isinstance(kind, Grid) else sines(num, d)).float()[None]
    out = {f"{prefix}.mod_emb": code.clone(), f"{prefix}.pos_emb": positions}
    if isinstance(kind, Grid) and kind.patch:
        out[f"{prefix}.proj.weight"] = draw(d, 3 * kind.patch**2, scale=0.1)
    elif isinstance(kind, Sequence) and kind.channels:
        out[f"{prefix}.emb_proj.weight"] = draw(d, kind.channels)
        out[f"{prefix}.emb_proj.bias"] = draw(d)
    else:
        out[f"{prefix}.token_emb.weight"] = draw(kind.vocab_size, d)
        if is_decoder and not setting.tied:
            out[f"{prefix}.to_logits.weight"] = draw(kind.vocab_size, d)
    return out
