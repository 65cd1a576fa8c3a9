"""Distribution of token ids at each position, without regard to the sample: the chance level of cross-entropies."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

PRIOR_WEIGHTS = tuple(10.0**power for power in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0))
"""Candidate weights, in tokens, of the unconditional unigram in the smoothing of the positional one."""


@dataclass(frozen=True, kw_only=True)
class Unigram:
    """Distribution of ids at each position of one stream; the last row is for positions without training data."""

    log_probability: Float[Tensor, "n v"]
    """In nats, over the classes of the stream's head."""

    @classmethod
    def from_counts(cls, counts: Float[Tensor, "n v"]) -> "Unigram":
        """The smoothed distribution of counted ids.

        The counts at a position are mixed with the unconditional unigram, by the weight that maximizes the
        leave-one-out likelihood of the counted tokens. Without smoothing, one unseen token would have an infinite
        loss; with a uniform prior, chance would be easier to beat than it should.
        """
        total = counts.sum(dim=0)
        unconditional = (total + 0.5) / (total.sum() + 0.5 * len(total))
        leave_one_out = (total - 1 + 0.5).clamp(min=0.5) / (total.sum() - 1 + 0.5 * len(total))
        weight = max(PRIOR_WEIGHTS, key=lambda prior: _leave_one_out_likelihood(counts, leave_one_out, prior))
        positional = (counts + weight * unconditional) / (counts.sum(dim=1, keepdim=True) + weight)
        return cls(log_probability=torch.cat([positional, unconditional[None]]).log().float())

    def losses(self, classes: Int[Tensor, " r"], positions: Int[Tensor, " r"]) -> Float[Tensor, " r"]:
        """Negative log-likelihood of each id at its position, in nats."""
        last = len(self.log_probability) - 1
        return -self.log_probability[positions.cpu().clamp(max=last), classes.cpu()]


def _leave_one_out_likelihood(counts: Float[Tensor, "n v"], leave_one_out: Float[Tensor, " v"], weight: float) -> float:
    """Mean log-likelihood of each counted token given all others, with ``weight`` on the unconditional unigram."""
    position, kind = counts.nonzero(as_tuple=True)
    number = counts[position, kind]
    rest = counts.sum(dim=1)[position] - 1
    likelihood = (number - 1 + weight * leave_one_out[kind]) / (rest + weight)
    return float((number * likelihood.log()).sum() / number.sum().clamp(min=1))
