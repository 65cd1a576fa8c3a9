"""What every learnt tokenizer can do, what its training step answers, and how the use of a codebook is told."""

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
    """What one training step answers."""

    loss: Float[Tensor, ""]
    """What is minimised."""
    reconstruction_loss: Float[Tensor, ""]
    commitment: Float[Tensor, ""]
    """Mean squared distance of a latent from its code; 0 for product codes, which have none."""
    ids: Int[Tensor, "b n"]
    reconstruction: Float[Tensor, "b ..."]
    """As `Tokenizer.decode` gives it; with a diffusion decoder the estimate at the noise level that was drawn."""


class Tokenizer(nn.Module, abc.ABC):
    """Values to codes and back. Values come as `Modality.prepare` gives them, stacked: float32, or int64 class maps."""

    num_tokens: int
    """Codes of one sample."""
    vocab_size: int

    @abc.abstractmethod
    def encode(self, x: Tensor) -> Int[Tensor, "b n"]:
        """The codes of each sample, row by row for grids."""

    @abc.abstractmethod
    def decode(self, ids: Int[Tensor, "b n"], generator: torch.Generator | None = None) -> Float[Tensor, "b ..."]:
        """The values (b, c, h, w) or (b, c) that codes stand for.

        Class maps and binary masks come as logits.

        Args:
            generator: Draws the noise that a diffusion decoder starts from; None stands for the same noise each time.
        """

    @abc.abstractmethod
    def decode_soft(
        self, probabilities: Float[Tensor, "b n v"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b ..."]:
        """The values of the probability-weighted mean of the code vectors; `decode` where one code has it all."""

    @abc.abstractmethod
    def loss(self, x: Tensor, generator: torch.Generator) -> TokenizerOutput:
        """The loss of a batch. In training mode this moves the codebook too, as exponential averages do."""


@dataclass(frozen=True, kw_only=True)
class CodebookUsage:
    """How evenly a codebook is used."""

    used: float
    """Share of the codes that occur at all."""
    perplexity: float
    """Number of equally likely codes that would be as hard to guess."""

    @property
    def is_collapsed(self) -> bool:
        """True where under a tenth of the codes occur: the codebook has collapsed, or is far too large."""
        return self.used < 0.1


def codebook_usage(ids: Int[Tensor, "..."], vocab_size: int) -> CodebookUsage:
    """How evenly ``ids`` use a codebook of ``vocab`` codes. Product codebooks count as one."""
    return codebook_usage_from_counts(torch.bincount(ids.flatten(), minlength=vocab_size))


def codebook_usage_from_counts(counts: Int[Tensor, " v"]) -> CodebookUsage:
    """How evenly a codebook is used whose codes occurred ``counts`` times."""
    share = counts.double() / counts.sum().clamp(min=1)
    entropy = torch.special.entr(share).sum()
    return CodebookUsage(used=float((counts > 0).double().mean()), perplexity=float(entropy.exp()))


def reconstruction_loss(
    kind: ReconstructionLoss, output: Float[Tensor, "b c ..."], target: Tensor
) -> Float[Tensor, ""]:
    """How far a decoder's raw output is from the value, averaged over all but the channels that the loss compares.

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
