"""Encoder and decoder of dense tokenizers: patches, transformers, and MLPs on patches."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from einops.layers.torch import Rearrange
from jaxtyping import Float
from torch import Tensor, nn

from modalities.tokenizer_specs import UNLABELLED
from networks.layers.blocks import BiasConfig, Block, BlockConfig
from networks.layers.positions import sincos_2d
from networks.tokenizers.config import EncoderKind, TokenizerConfig


def to_patches(x: Float[Tensor, "b c h w"], patch: int) -> Float[Tensor, "b n p"]:
    """Squares of ``patch`` x ``patch`` values in row-major order, each flattened channel by channel."""
    return rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


def from_patches(x: Float[Tensor, "b n p"], patch: int) -> Float[Tensor, "b c h w"]:
    """The square image of patches from `to_patches`."""
    return rearrange(x, "b (h w) (c p q) -> b c (h p) (w q)", h=math.isqrt(x.shape[1]), p=patch, q=patch)


class PostMLP(nn.Module):
    """A residual tanh MLP behind the transformer, in fp32, which bounds latents.

    Source: Yu et al. 2021, "Vector-quantized image modeling" (arXiv:2110.04627), section 3.1, as 4M uses it.
    """

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.up = nn.Linear(width, int(width * ratio))
        self.down = nn.Linear(int(width * ratio), width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """The tokens after the residual MLP."""
        with torch.autocast(x.device.type, enabled=False):
            full = x.float()
            output: Tensor = full + self.down(self.up(self.norm(full)).tanh())
            return output


def resize_positions(positions: Float[Tensor, "n d"], places: int) -> Float[Tensor, "places d"]:
    """A square grid's table of positions, bicubically resized to another square grid of ``places``."""
    if len(positions) == places:
        return positions
    side = math.isqrt(len(positions))
    table = rearrange(positions, "(h w) d -> 1 d h w", h=side)
    size = (math.isqrt(places),) * 2
    return rearrange(F.interpolate(table, size=size, mode="bicubic", align_corners=False), "1 d h w -> (h w) d")


class ViT(nn.Module):
    """Transformer blocks over a square grid; positions are resized for other grids than the one it was built for."""

    positions: Float[Tensor, "n d"]

    def __init__(self, grid: int, depth: int, config: TokenizerConfig) -> None:
        super().__init__()
        block = BlockConfig(
            width=config.width,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            gated=False,
            biases=BiasConfig.all_enabled(),
            norm_eps=1e-6,
        )
        positions = sincos_2d(grid, config.width)
        if config.learned_positions:
            self.positions = nn.Parameter(positions)
        else:
            self.register_buffer("positions", positions, persistent=False)
        self.blocks = nn.Sequential(*(Block(block) for _ in range(depth)))
        self.post = PostMLP(config.width, config.mlp_ratio) if config.post_mlp else nn.Identity()

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """The tokens after all blocks."""
        output: Tensor = self.post(self.blocks(x + resize_positions(self.positions, x.shape[1])))
        return output


def patch_encoder(config: TokenizerConfig, length: int, grid: int) -> nn.Sequential:
    """The network from flat patches (b, n, ``length``) to tokens (b, n, width)."""
    if config.encoder is EncoderKind.vit:
        return nn.Sequential(
            nn.Linear(length, config.width), ViT(config.encoder_positions or grid, config.encoder_depth, config)
        )
    layers: list[nn.Module] = []
    for hidden in config.patch_hidden:
        layers += [nn.Linear(length, hidden), nn.GELU()]
        length = hidden
    return nn.Sequential(*layers, nn.Linear(length, config.width))


class ClassEmbedding(nn.Module):
    """An embedding of each pixel's class, which turns a class map into an image; zeros where there is no label."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, width)
        self.channels_first = Rearrange("b h w c -> b c h w")

    def forward(self, x: Tensor) -> Float[Tensor, "b c h w"]:
        """The image of class vectors."""
        unlabelled = x == UNLABELLED
        vectors = self.table(x.masked_fill(unlabelled, 0)).masked_fill(unlabelled[..., None], 0)
        image: Tensor = self.channels_first(vectors)
        return image


class ConvNeXt(nn.Module):
    """A ConvNeXt block (Liu et al. 2022, arXiv:2201.03545), to smooth the seams between patches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.up = nn.Linear(channels, 4 * channels)
        self.down = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The image after the residual block."""
        hidden = rearrange(self.depthwise(x), "b c h w -> b h w c")
        residual: Tensor = self.scale * self.down(F.gelu(self.up(self.norm(hidden))))
        return x + rearrange(residual, "b h w c -> b c h w")


class PatchDecoder(nn.Module):
    """Decoder from code vectors to an image: transformer, linear map to patches, optional convolutions."""

    def __init__(self, config: TokenizerConfig, *, latent: int, channels: int, patch: int, grid: int) -> None:
        super().__init__()
        self.patch = patch
        self.from_codes = nn.Linear(latent, config.width)
        self.vit = ViT(config.decoder_positions or grid, config.decoder_depth, config)
        self.to_patches = nn.Linear(config.width, channels * patch**2)
        self.convs = nn.Sequential(*(ConvNeXt(channels) for _ in range(config.output_convs)))

    def forward(self, codes: Float[Tensor, "b n k"]) -> Float[Tensor, "b c h w"]:
        """The image, or the logits of one."""
        patches = self.to_patches(self.vit(self.from_codes(codes)))
        image: Tensor = self.convs(from_patches(patches, self.patch))
        return image
