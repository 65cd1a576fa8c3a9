"""How many tokens of each stream a sample shows and asks for: Dirichlet draws for a whole batch at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from networks.mixtures import Tables

REDEALS = 4
"""Rounds in which tokens beyond what a stream has are dealt again; each leaves a small part of the one before."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """The most that each stream of each sample can be given."""

    inputs: Int[Tensor, "b s"]
    targets: Int[Tensor, "b s"]
    shared: Bool[Tensor, " s"]
    """True where a token that is an input cannot be a target too: grids."""


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """Tokens by sample and stream, and the mixture that each sample drew."""

    inputs: Int[Tensor, "b s"]
    targets: Int[Tensor, "b s"]
    component: Int[Tensor, " b"]


def draw_budgets(
    tables: Tables,
    present: Bool[Tensor, "b s"],
    caps: Caps,
    num_inputs: Int[Tensor, " b"],
    num_targets: Int[Tensor, " b"],
    generator: torch.Generator,
    *,
    redistribute: bool = False,
) -> Budgets:
    """A mixture for each sample, and its token budgets.

    A stream that a sample lacks has concentration 0. A mixture that would leave a sample without input or target is not
    drawn for it, unless all would. Budgets above a cap are cut to it; what is cut is lost, unless ``redistribute``.
    """
    component = draw_component(tables, present, generator)
    alpha = tables.input_alpha[component] * present
    inputs = deal(alpha, num_inputs, caps.inputs, generator, redistribute=redistribute)
    left = torch.where(caps.shared, caps.targets - inputs, caps.targets)
    alpha = tables.target_alpha[component] * present
    targets = deal(alpha, num_targets, left, generator, redistribute=redistribute)
    return Budgets(inputs=inputs, targets=targets, component=component)


def draw_component(tables: Tables, present: Bool[Tensor, "b s"], generator: torch.Generator) -> Int[Tensor, " b"]:
    """The mixture of each sample, by weight among those that give it an input and a target."""
    there = present.float()
    useful = (there @ (tables.input_alpha > 0).float().T > 0) & (there @ (tables.target_alpha > 0).float().T > 0)
    weight = torch.where(useful, tables.weight, 0.0)
    weight = torch.where(weight.sum(dim=1, keepdim=True) > 0, weight, tables.weight)
    return torch.multinomial(weight, 1, generator=generator)[:, 0]


def deal(
    alpha: Float[Tensor, "b s"],
    total: Int[Tensor, " b"],
    caps: Int[Tensor, "b s"],
    generator: torch.Generator,
    *,
    redistribute: bool = False,
) -> Int[Tensor, "b s"]:
    """``total`` tokens shared out by Dirichlet draws and cut to ``caps``.

    Each stream gets the floor of its share. Every token left over goes to the largest share of a Dirichlet draw of its
    own, so that none goes to a stream of concentration near 0.
    """
    budget = torch.minimum(_share_out(alpha, total, generator), caps)
    for _ in range(REDEALS if redistribute else 0):
        free = alpha * (budget < caps)
        budget = torch.minimum(budget + _share_out(free, total - budget.sum(dim=1), generator), caps)
    return budget


def _share_out(
    alpha: Float[Tensor, "b s"], total: Int[Tensor, " b"], generator: torch.Generator
) -> Int[Tensor, "b s"]:
    """``total`` tokens, or none where every concentration is 0."""
    share = log_gamma(alpha, generator).softmax(dim=1).nan_to_num(0.0)
    budget = (share * total[:, None]).floor().long()
    rest = torch.where((alpha > 0).any(dim=1), total - budget.sum(dim=1), 0)
    row = torch.repeat_interleave(rest)
    winner = _largest(alpha, row, generator)
    return budget.index_put_((row, winner), torch.ones_like(row), accumulate=True)


def _largest(alpha: Float[Tensor, "b s"], row: Int[Tensor, " r"], generator: torch.Generator) -> Int[Tensor, " r"]:
    """The stream with the largest share in one Dirichlet draw for each of ``row``."""
    equal = (alpha == alpha.amax(dim=1, keepdim=True)) | (alpha == 0)
    is_even = equal.all(dim=1)[row]
    # Among equals any continuous law has the same winner, and uniform draws cost a twentieth of gamma draws.
    keys = torch.rand((len(row), alpha.shape[1]), generator=generator, device=alpha.device)
    keys.masked_fill_((alpha == 0)[row], -torch.inf)
    (uneven,) = (~is_even).nonzero(as_tuple=True)
    keys[uneven] = log_gamma(alpha[row[uneven]], generator)
    return keys.argmax(dim=1)


def log_gamma(alpha: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Logarithms of Gamma(alpha, 1) draws; minus infinity where alpha is 0. Their softmax is a Dirichlet draw.

    In logarithms nothing underflows at concentrations like 0.01: Gamma(a) has the law of Gamma(a + 1) times U^(1/a).
    """
    safe = torch.where(alpha > 0, alpha, 1.0)
    # `torch.distributions` takes no generator; this is what it calls.
    above = torch._standard_gamma(safe + 1, generator=generator).log()
    uniform = torch.rand(alpha.shape, generator=generator, device=alpha.device).clamp_min_(1e-12)
    return torch.where(alpha > 0, above + uniform.log() / safe, -torch.inf)
