"""Tokenizers of images, class maps, masks and feature maps: encoder, codebook, decoder."""

import math

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalities.errors import ConfigError
from modalities.layouts import Dense
from modalities.tokenizer_specs import ViTVQ
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.diffusion import DiffusionDecoder
from networks.tokenizers.tokenizer import Tokenizer, TokenizerOutput, fill_missing, reconstruction_loss
from networks.tokenizers.vit import ClassEmbedding, PatchDecoder, patch_encoder, to_patches
from networks.tokenizers.vq import Codebook


class DenseTokenizer(Tokenizer):
    """A vector-quantised autoencoder over patches; subclasses add the decoder."""

    def __init__(self, layout: Dense, spec: ViTVQ, config: TokenizerConfig) -> None:
        super().__init__()
        if layout.size % layout.patch or layout.patch % layout.pixels_per_value:
            raise ConfigError(
                f"Tokenizer {spec.name!r}: patches of {layout.patch} pixels must divide {layout.size} and hold whole "
                f"cells of {layout.pixels_per_value}."
            )
        self.layout, self.kind, self.config = layout, spec.loss, config
        self.num_tokens, self.vocab_size = layout.num_tokens, spec.vocab_size
        latent = config.latent or spec.latent
        channels = config.class_width if layout.categorical else layout.channels
        length = channels * layout.values_per_patch**2
        self.classes = ClassEmbedding(layout.channels, channels) if layout.categorical else nn.Identity()
        self.encoder = patch_encoder(config, length, layout.grid)
        self.to_latents = nn.Linear(config.width, latent)
        self.codebook = Codebook(latent, spec.vocab_size, config)

    def latents(self, x: Tensor) -> Float[Tensor, "b n k"]:
        """Latents before quantisation."""
        patches = to_patches(self.classes(fill_missing(x)), self.layout.values_per_patch)
        latents: Tensor = self.to_latents(self.encoder(patches))
        return latents

    def encode(self, x: Tensor) -> Int[Tensor, "b n"]:
        """The codes of the grid, in row-major order."""
        return self.codebook.nearest(self.latents(x))


class ViTDecoderTokenizer(DenseTokenizer):
    """A dense tokenizer with a transformer decoder."""

    def __init__(self, layout: Dense, spec: ViTVQ, config: TokenizerConfig) -> None:
        super().__init__(layout, spec, config)
        self.decoder = PatchDecoder(
            config,
            latent=self.codebook.latent,
            channels=layout.channels,
            patch=layout.values_per_patch,
            grid=layout.grid,
        )

    def decode(self, ids: Int[Tensor, "b n"], generator: torch.Generator | None = None) -> Float[Tensor, "b c h w"]:
        """The image of ``ids``; logits for class maps and masks."""
        image: Tensor = self.decoder(self.codebook.lookup(ids))
        return image

    def decode_soft(
        self, probabilities: Float[Tensor, "b n v"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c h w"]:
        """The image of the probability-weighted mean of the code vectors."""
        image: Tensor = self.decoder(self.codebook.soft_lookup(probabilities))
        return image

    def loss(self, x: Tensor, generator: torch.Generator) -> TokenizerOutput:
        """Reconstruction and commitment loss."""
        quantized = self.codebook(self.latents(x), generator)
        output: Tensor = self.decoder(quantized.codes)
        error = reconstruction_loss(self.kind, output, x)
        return TokenizerOutput(
            loss=error + self.config.commitment * quantized.commitment,
            reconstruction_loss=error.detach(),
            commitment=quantized.commitment.detach(),
            ids=quantized.ids,
            reconstruction=output.detach(),
        )


class DiffusionTokenizer(DenseTokenizer):
    """A dense tokenizer with a diffusion decoder (DiVAE, Shi et al. 2022, arXiv:2206.00386)."""

    def __init__(self, layout: Dense, spec: ViTVQ, config: TokenizerConfig) -> None:
        super().__init__(layout, spec, config)
        self.decoder = DiffusionDecoder(
            config.diffusion,
            latent=self.codebook.latent,
            channels=layout.channels,
            side=layout.values_per_side,
            grid=layout.grid,
            kind=spec.loss,
        )

    def decode(self, ids: Int[Tensor, "b n"], generator: torch.Generator | None = None) -> Float[Tensor, "b c h w"]:
        """An image sampled for ``ids`` by DDIM."""
        return self.decoder.sample(self._on_grid(self.codebook.lookup(ids)), generator)

    def decode_soft(
        self, probabilities: Float[Tensor, "b n v"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c h w"]:
        """An image sampled for the probability-weighted mean of the code vectors."""
        return self.decoder.sample(self._on_grid(self.codebook.soft_lookup(probabilities)), generator)

    def loss(self, x: Tensor, generator: torch.Generator) -> TokenizerOutput:
        """The denoiser's loss at a random noise level, and commitment loss."""
        quantized = self.codebook(self.latents(x), generator)
        error, clean = self.decoder.loss(x, self._on_grid(quantized.codes), generator)
        return TokenizerOutput(
            loss=error + self.config.commitment * quantized.commitment,
            reconstruction_loss=error.detach(),
            commitment=quantized.commitment.detach(),
            ids=quantized.ids,
            reconstruction=clean.detach(),
        )

    def _on_grid(self, codes: Float[Tensor, "b n k"]) -> Float[Tensor, "b k h w"]:
        return rearrange(codes, "b (h w) k -> b k h w", h=math.isqrt(codes.shape[1]))
