"""The denoiser of the diffusion decoder: a UNet over patches, conditioned on noise level and codes."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalities.errors import ConfigError
from networks.layers.blocks import attend
from networks.tokenizers.config import DiffusionConfig


def timestep_embedding(timestep: Int[Tensor, " b"], width: int) -> Float[Tensor, "b width"]:
    """Cosines and sines of the noise level, at wavelengths from 2 pi to 20,000 pi."""
    half = width // 2
    frequency = torch.exp(-math.log(10_000) * torch.arange(half, device=timestep.device) / half)
    angle = timestep[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)


def _zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Set all weights of a layer to 0, so that its residual block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResBlock(nn.Module):
    """Two convolutions with the noise level's embedding added in between."""

    def __init__(self, inputs: int, outputs: int, code: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_group_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.code = nn.Sequential(nn.SiLU(), nn.Linear(code, outputs))
        self.second = nn.Sequential(
            _group_norm(outputs), nn.SiLU(), _zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b k h w"]:
        """The image after the block."""
        hidden = self.first(x) + self.code(code)[:, :, None, None]
        output: Tensor = self.skip(x) + self.second(hidden)
        return output


class AttentionBlock(nn.Module):
    """Self-attention over all positions of an image."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The image after residual attention."""
        qkv = rearrange(self.qkv(self.norm(x)), "b (three e c) h w -> three b e (h w) c", three=3, e=self.heads)
        query, key, value = qkv
        gathered = rearrange(attend(query, key, value, None), "b (h w) c -> b c h w", h=x.shape[2])
        output: Tensor = x + self.out(gathered)
        return output


class ResStage(nn.Module):
    """A residual block, optional attention and optional resampling."""

    def __init__(self, inputs: int, outputs: int, code: int, attention: nn.Module, resample: nn.Module) -> None:
        super().__init__()
        self.residual = ResBlock(inputs, outputs, code)
        self.attention = attention
        self.resample = resample

    def forward(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b k p q"]:
        """The image after the stage."""
        output: Tensor = self.resample(self.attention(self.residual(x, code)))
        return output


def _upsample(channels: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, channels, 3, padding=1))


class UNet(nn.Module):
    """A UNet over patches (Dhariwal & Nichol 2021, arXiv:2105.05233); the codes join its input as more channels."""

    def __init__(self, config: DiffusionConfig, *, channels: int, latent: int, side: int) -> None:
        super().__init__()
        coarsest = config.patch * 2 ** (len(config.multipliers) - 1)
        if side % coarsest:
            raise ConfigError(
                f"A diffusion decoder of these sizes needs a side that is a multiple of {coarsest}, got {side}"
            )
        self.config = config
        self.code_width = 4 * config.channels
        patched = channels * config.patch**2
        self.time = nn.Sequential(
            nn.Linear(config.channels, self.code_width), nn.SiLU(), nn.Linear(self.code_width, self.code_width)
        )
        self.read = nn.Conv2d(patched + latent, config.channels, 3, padding=1)
        widths = [config.channels * factor for factor in config.multipliers]
        self.down, skips = self._build_down(widths)
        self.middle = nn.ModuleList(
            [
                self._stage(widths[-1], widths[-1], has_attention=True),
                self._stage(widths[-1], widths[-1], has_attention=False),
            ]
        )
        self.up = self._build_up(widths, skips)
        self.write = nn.Sequential(
            _group_norm(widths[0]), nn.SiLU(), _zero_init(nn.Conv2d(widths[0], patched, 3, padding=1))
        )

    def forward(
        self, noisy: Float[Tensor, "b c h w"], timestep: Int[Tensor, " b"], codes: Float[Tensor, "b k p q"]
    ) -> Float[Tensor, "b c h w"]:
        """The prediction for a noisy image, given its noise level and its code vectors on their grid."""
        patch = self.config.patch
        image = rearrange(noisy, "b c (h p) (w q) -> b (c p q) h w", p=patch, q=patch)
        wide = F.interpolate(codes, size=image.shape[2:], mode="nearest")
        code = self.time(timestep_embedding(timestep, self.config.channels))
        x = self.read(torch.cat([image, wide], dim=1))
        skips = [x]
        for stage in self.down:
            x = stage(x, code)
            skips.append(x)
        for stage in self.middle:
            x = stage(x, code)
        for stage in self.up:
            x = stage(torch.cat([x, skips.pop()], dim=1), code)
        written: Tensor = self.write(x)
        return rearrange(written, "b (c p q) h w -> b c (h p) (w q)", p=patch, q=patch)

    def _build_down(self, widths: list[int]) -> tuple[nn.ModuleList, list[int]]:
        """The stages down to the coarsest level, and the widths of all skip connections."""
        stages, skips, width = nn.ModuleList(), [widths[0]], widths[0]
        for depth, target in enumerate(widths):
            for _ in range(self.config.blocks):
                stages.append(self._stage(width, target, has_attention=2**depth in self.config.attention))
                skips.append(target)
                width = target
            if depth < len(widths) - 1:
                stages.append(Downsample(width))
                skips.append(width)
        return stages, skips

    def _build_up(self, widths: list[int], skips: list[int]) -> nn.ModuleList:
        """The stages back up; each takes one of the skip connections, the last first."""
        stages, width, left = nn.ModuleList(), widths[-1], list(skips)
        for depth, target in reversed(list(enumerate(widths))):
            for index in range(self.config.blocks + 1):
                ends = depth > 0 and index == self.config.blocks
                stage = self._stage(
                    width + left.pop(), target, has_attention=2**depth in self.config.attention, doubled=ends
                )
                stages.append(stage)
                width = target
        return stages

    def _stage(self, inputs: int, outputs: int, *, has_attention: bool, doubled: bool = False) -> ResStage:
        attention = AttentionBlock(outputs, self.config.heads) if has_attention else nn.Identity()
        resample = _upsample(outputs) if doubled else nn.Identity()
        return ResStage(inputs, outputs, self.code_width, attention, resample)


class Downsample(nn.Module):
    """A convolution to half the side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b c p q"]:
        """The image at half the side; ``code`` is not used."""
        output: Tensor = self.conv(x)
        return output
