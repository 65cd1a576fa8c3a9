"""Tokenizer of vectors: a bottleneck MLP whose latent is split into parts, each with its own codebook."""

import math

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalities.errors import ConfigError
from modalities.tokenizer_specs import ReconstructionLoss
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.tokenizer import Tokenizer, TokenizerOutput, reconstruction_loss


class BottleneckMLP(nn.Module):
    """Residual MLP blocks between two linear maps (Bachmann et al. 2023, arXiv:2306.13575)."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.read = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth)
        )
        self.write = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "b c"]) -> Float[Tensor, "b e"]:
        """The MLP's output."""
        x = self.read(x)
        for block in self.blocks:
            x = x + block(x)
        output: Tensor = self.write(x)
        return output


class Memcodes(nn.Module):
    """One codebook per part of a latent; the keys and values of a code are linear in its vector.

    Source: Mama et al. 2021, "NWT" (arXiv:2106.04283), section 3.2.
    """

    def __init__(self, parts: int, vocab_size: int, latent: int, temperature: float) -> None:
        super().__init__()
        self.parts, self.temperature = parts, temperature
        width = latent // parts
        self.codes = nn.Parameter(torch.randn(parts, vocab_size, width))
        self.to_keys = nn.Parameter(torch.empty(parts, width, width))
        self.to_values = nn.Parameter(torch.empty(parts, width, width))
        for weight in (self.to_keys, self.to_values):
            nn.init.uniform_(weight, -(width**-0.5), width**-0.5)

    @property
    def values(self) -> Float[Tensor, "m v e"]:
        """Values of the codes, by part."""
        return self.codes @ self.to_values

    def logits(self, latents: Float[Tensor, "b c"]) -> Float[Tensor, "b m v"]:
        """Similarity of each part of a latent to each code."""
        queries = rearrange(latents, "b (m e) -> m b e", m=self.parts)
        fit = queries @ (self.codes @ self.to_keys).transpose(1, 2) / math.sqrt(queries.shape[-1])
        return rearrange(fit, "m b v -> b m v")

    def soft_lookup(self, weights: Float[Tensor, "b m v"]) -> Float[Tensor, "b c"]:
        """The weighted mean of each part's values, parts concatenated."""
        parts = rearrange(weights, "b m v -> m b v") @ self.values
        return rearrange(parts, "m b e -> b (m e)")

    def lookup(self, ids: Int[Tensor, "b m"]) -> Float[Tensor, "b c"]:
        """The values of ``ids``, parts concatenated."""
        part = torch.arange(self.parts, device=ids.device)
        return rearrange(self.values[part, ids], "b m e -> b (m e)")

    def gumbel_sample(
        self, logits: Float[Tensor, "b m v"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "b m v"], Int[Tensor, "b m"]]:
        """One code per part, sampled with Gumbel noise: a one-hot weight with the softmax's gradient, and its id.

        Source: Jang et al. 2017 (arXiv:1611.01144), straight-through estimator.
        """
        exponential = torch.empty(logits.shape, device=generator.device).exponential_(generator=generator)
        noise = exponential.clamp_(min=1e-20).log_().neg_().to(logits.device)
        soft = ((logits + noise) / self.temperature).softmax(-1)
        ids = soft.argmax(-1)
        hard = torch.zeros_like(soft).scatter_(-1, ids[..., None], 1.0)
        return hard + soft - soft.detach(), ids


class VectorTokenizer(Tokenizer):
    """Bottleneck MLP and product codes: for global features and body poses."""

    def __init__(
        self, *, channels: int, num_tokens: int, vocab_size: int, loss: ReconstructionLoss, config: TokenizerConfig
    ) -> None:
        super().__init__()
        if config.mlp_latent % num_tokens:
            raise ConfigError(f"tokenizer.mlp_latent must be a multiple of {num_tokens} codes, got {config.mlp_latent}")
        self.num_tokens, self.vocab_size, self.kind = num_tokens, vocab_size, loss
        width, depth, latent = config.mlp_width, config.mlp_depth, config.mlp_latent
        self.encoder = nn.Sequential(BottleneckMLP(channels, width, width, depth), nn.Linear(width, latent))
        self.memcodes = Memcodes(num_tokens, vocab_size, latent, config.temperature)
        self.decoder = nn.Sequential(nn.Linear(latent, width), BottleneckMLP(width, channels, width, depth))

    def encode(self, x: Float[Tensor, "b c"]) -> Int[Tensor, "b n"]:
        """One code per part of the latent."""
        return self.memcodes.logits(self.encoder(x)).argmax(-1)

    def decode(self, ids: Int[Tensor, "b n"], generator: torch.Generator | None = None) -> Float[Tensor, "b c"]:
        """The vector of the codes."""
        vector: Tensor = self.decoder(self.memcodes.lookup(ids))
        return vector

    def decode_soft(
        self, probabilities: Float[Tensor, "b n v"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c"]:
        """The vector of the probability-weighted mean of the codes' values."""
        vector: Tensor = self.decoder(self.memcodes.soft_lookup(probabilities.float()))
        return vector

    def loss(self, x: Float[Tensor, "b c"], generator: torch.Generator) -> TokenizerOutput:
        """The reconstruction loss; gradients reach product codes, so that they need no commitment loss."""
        logits = self.memcodes.logits(self.encoder(x))
        if self.training:
            weights, ids = self.memcodes.gumbel_sample(logits, generator)
            values = self.memcodes.soft_lookup(weights)
        else:
            ids = logits.argmax(-1)
            values = self.memcodes.lookup(ids)
        vector: Tensor = self.decoder(values)
        error = reconstruction_loss(self.kind, vector, x)
        return TokenizerOutput(
            loss=error,
            reconstruction_loss=error.detach(),
            commitment=error.new_zeros(()),
            ids=ids,
            reconstruction=vector.detach(),
        )
