"""Interface of learned tokenizers, the output of their training step, and measures of codebook usage."""

import abc
from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalities.tokenizer_specs import ReconstructionLoss


@dataclass(frozen=True, kw_only=True)
class TokenizerOutput:
    """Output of one training step."""

    loss: Float[Tensor, ""]
    """Total loss."""
    reconstruction_loss: Float[Tensor, ""]
    commitment: Float[Tensor, ""]
    """Mean squared distance of a latent from its code; 0 for product codes."""
    ids: Int[Tensor, "b n"]
    reconstruction: Float[Tensor, "b ..."]
    """As from `Tokenizer.decode`; for a diffusion decoder the estimate at the sampled noise level."""


class Tokenizer(nn.Module, abc.ABC):
    """Conversion between values and codes. Values are batches from `Modality.preprocess`: float32, or int64 classes."""

    num_tokens: int
    """Number of codes of one sample."""
    vocab_size: int

    @abc.abstractmethod
    def encode(self, x: Tensor) -> Int[Tensor, "b n"]:
        """The codes of each sample, in row-major order for grids."""

    @abc.abstractmethod
    def decode(self, ids: Int[Tensor, "b n"], generator: torch.Generator | None = None) -> Float[Tensor, "b ..."]:
        """Decode codes to values (b, c, h, w) or (b, c).

        Class maps and binary masks come as logits.

        Args:
            generator: Draws the initial noise of a diffusion decoder; None for the same noise each time.
        """

    @abc.abstractmethod
    def decode_soft(
        self, probabilities: Float[Tensor, "b n v"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b ..."]:
        """Decode the probability-weighted mean of the code vectors; equal to `decode` for one-hot probabilities."""

    @abc.abstractmethod
    def loss(self, x: Tensor, generator: torch.Generator) -> TokenizerOutput:
        """The loss of a batch. In training mode this also updates the codebook's exponential averages."""


@dataclass(frozen=True, kw_only=True)
class CodebookUsage:
    """Usage of a codebook."""

    used: float
    """Share of the codes that occur."""
    perplexity: float
    """Exponential of the entropy of code frequencies."""

    @property
    def is_collapsed(self) -> bool:
        """True if under a tenth of the codes occur: the codebook has collapsed, or is far too large."""
        return self.used < 0.1


def codebook_usage(ids: Int[Tensor, "..."], vocab_size: int) -> CodebookUsage:
    """Usage of a codebook of ``vocab_size`` codes by ``ids``. Product codebooks count as one."""
    return codebook_usage_from_counts(torch.bincount(ids.flatten(), minlength=vocab_size))


def codebook_usage_from_counts(counts: Int[Tensor, " v"]) -> CodebookUsage:
    """Usage of a codebook whose codes occurred ``counts`` times."""
    share = counts.double() / counts.sum().clamp(min=1)
    entropy = torch.special.entr(share).sum()
    return CodebookUsage(used=float((counts > 0).double().mean()), perplexity=float(entropy.exp()))


def reconstruction_loss(
    kind: ReconstructionLoss, output: Float[Tensor, "b c ..."], target: Tensor
) -> Float[Tensor, ""]:
    """Reconstruction loss of a decoder's raw output.

    Args:
        output: Values; logits for ``cross_entropy`` and ``bce``.
        target: Values of the same shape; class indices (b, ...) for ``cross_entropy``.
    """
    match kind:
        case ReconstructionLoss.mse:
            return F.mse_loss(output, target)
        case ReconstructionLoss.smooth_l1:
            return F.smooth_l1_loss(output, target)
        case ReconstructionLoss.cross_entropy:
            return F.cross_entropy(output, target)
        case ReconstructionLoss.bce:
            return F.binary_cross_entropy_with_logits(output, target)
        case ReconstructionLoss.cosine:
            return 1 - F.cosine_similarity(output, target, dim=1).mean()
        case _:
            assert_never(kind)
