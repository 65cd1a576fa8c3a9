"""Interface of learned tokenizers, the output of their training step, and measures of codebook usage."""

import abc
from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalities.tokenizer_specs import UNLABELLED, ReconstructionLoss


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
    """Reconstruction loss of a decoder's raw output: the mean over the places whose target is known, 0 without any.

    Args:
        output: Values; logits for ``cross_entropy`` and ``bce``.
        target: Values of the same shape, NaN where there is no measurement, for ``mse`` and ``smooth_l1``; class
            indices (b, ...), `UNLABELLED` where there is no label, for ``cross_entropy``.
    """
    match kind:
        case ReconstructionLoss.mse:
            known, share = _without_missing(output, target)
            return F.mse_loss(output, known) / share
        case ReconstructionLoss.smooth_l1:
            known, share = _without_missing(output, target)
            return F.smooth_l1_loss(output, known) / share
        case ReconstructionLoss.cross_entropy:
            loss = F.cross_entropy(output, target, ignore_index=UNLABELLED)
            # Without a single label the mean above is 0 / 0.
            return torch.where((target != UNLABELLED).any(), loss, torch.zeros_like(loss))
        case ReconstructionLoss.bce:
            return F.binary_cross_entropy_with_logits(output, target)
        case ReconstructionLoss.cosine:
            return 1 - F.cosine_similarity(output, target, dim=1).mean()
        case _:
            assert_never(kind)


def fill_missing(x: Tensor) -> Tensor:
    """Values with 0, the middle of their range, in place of NaN, as an encoder sees them; classes as they are."""
    return torch.where(x.isnan(), torch.zeros_like(x), x) if x.is_floating_point() else x


def _without_missing(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The target with the output itself where it is NaN, which costs nothing, and the share of places that are known.

    Dividing a mean by that share gives the mean over known places; where all are known it is 1, and nothing changes.
    """
    missing = target.isnan()
    share = 1 - missing.sum() / missing.numel()
    return torch.where(missing, output.detach(), target), torch.where(share > 0, share, torch.ones_like(share))
