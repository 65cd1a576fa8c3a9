"""Codebook of dense tokenizers: VectorQuantize of vector-quantize-pytorch, made reproducible and distributed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from loguru import logger
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from networks.tokenizers.config import CodebookKind, TokenizerConfig

# It warns if a first batch has fewer latents than codes; unused codes are revived soon after.
logger.disable("vector_quantize_pytorch")


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """Quantised latents."""

    codes: Float[Tensor, "b n k"]
    """Code vectors, with straight-through gradients to the latents."""
    ids: Int[Tensor, "b n"]
    commitment: Float[Tensor, ""]
    """Mean squared distance of the latents from their codes."""


@contextmanager
def _seeded_global_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, which the library draws from, and restore them afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


class Codebook(nn.Module):
    """A codebook updated by exponential averages of its latents, whose unused codes are replaced.

    With cosine codes, latents are normalised before comparison and commitment (the paper commits the raw latent).

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 3.2 and appendix A.1; 4M's appendix on tokenization.
    """

    def __init__(self, latent: int, vocab_size: int, config: TokenizerConfig) -> None:
        super().__init__()
        self.latent, self.vocab_size, self.config = latent, vocab_size, config
        self.cosine = config.codebook is CodebookKind.cosine
        self.quantize = self._build(sync=False)

    def synchronize(self) -> None:
        """Share the codebook's averages between processes from now on.

        Call this after the process group is initialised; otherwise the processes' codebooks drift apart silently.
        """
        shared = self._build(sync=True).to(self.vectors.device)
        shared.load_state_dict(self.quantize.state_dict())
        self.quantize = shared

    @property
    def vectors(self) -> Float[Tensor, "v k"]:
        """The code vectors."""
        return cast(Tensor, self.quantize.codebook)

    def nearest(self, latents: Float[Tensor, "b n k"]) -> Int[Tensor, "b n"]:
        """Row of the nearest code; ties go to the lower row."""
        # A latent's length does not change the nearest code, by either distance.
        # Half precision would select other codes than training did.
        with torch.autocast(latents.device.type, enabled=False):
            similarity = F.linear(latents.float(), self.vectors)
            if not self.cosine:
                similarity = similarity - self.vectors.square().sum(-1) / 2
            return similarity.argmax(-1)

    def lookup(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n k"]:
        """The code vectors of ``ids``."""
        return F.embedding(ids, self.vectors)

    def soft_lookup(self, probabilities: Float[Tensor, "b n v"]) -> Float[Tensor, "b n k"]:
        """The probability-weighted mean of the code vectors."""
        return probabilities.float() @ self.vectors

    def forward(self, latents: Float[Tensor, "b n k"], generator: torch.Generator) -> Quantized:
        """Quantise, and in training mode update the codes. ``generator`` draws replacements of unused codes."""
        if not self.training:
            ids = self.nearest(latents)
            codes = self.lookup(ids)
            targets = F.normalize(latents.float(), dim=-1) if self.cosine else latents.float()
            return Quantized(codes=codes, ids=ids, commitment=F.mse_loss(codes, targets))
        self._set_dead_code_threshold(latents.shape[0] * latents.shape[1])
        seed = int(torch.randint(1 << 62, (1,), generator=generator, device=generator.device))
        with _seeded_global_rng(seed, latents.device):
            codes, ids, commitment = self.quantize(latents.float())
        return Quantized(codes=codes, ids=ids, commitment=commitment)

    def _set_dead_code_threshold(self, latents: int) -> None:
        """Set the count below which a code is unused, from the number of latents of a batch."""
        # The library takes only a count, and only at construction.
        book = self.quantize._codebook  # noqa: SLF001
        processes = torch.distributed.get_world_size() if book.use_ddp else 1
        even_count = latents * processes / self.vocab_size
        book.threshold_ema_dead_code = self.config.revive_below * even_count
        # A new code counts as evenly used, so that it has a few steps to attract latents.
        book.reset_cluster_size = even_count

    def _build(self, *, sync: bool) -> VectorQuantize:
        return VectorQuantize(
            dim=self.latent,
            codebook_size=self.vocab_size,
            decay=self.config.ema_decay,
            kmeans_init=self.config.kmeans_init,
            use_cosine_sim=self.cosine,
            threshold_ema_dead_code=self.config.revive_below,
            commitment_weight=1.0,
            rotation_trick=self.config.rotation_trick,
            sync_codebook=sync,
        )
