"""Token budgets of the streams of a sample: Dirichlet draws for a whole batch at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from networks.masking.mixtures import MixtureTable

REDISTRIBUTION_ROUNDS = 4
"""Rounds in which tokens above a limit are allocated again; each leaves a small part of the round before."""


@dataclass(frozen=True, kw_only=True)
class BudgetLimits:
    """Maximum number of tokens of each stream of each sample."""

    inputs: Int[ndarray, "b s"]
    targets: Int[ndarray, "b s"]
    exclusive: Bool[ndarray, " s"]
    """True for grids, whose input tokens cannot be targets too."""


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """Tokens by sample and stream, and the mixture that each sample drew."""

    inputs: Int[ndarray, "b s"]
    targets: Int[ndarray, "b s"]
    component: Int[ndarray, " b"]


def sample_budgets(
    tables: MixtureTable,
    present: Bool[ndarray, "b s"],
    limits: BudgetLimits,
    num_inputs: Int[ndarray, " b"],
    num_targets: Int[ndarray, " b"],
    rng: np.random.Generator,
    *,
    redistribute: bool = False,
) -> Budgets:
    """Draw a mixture for each sample, and its token budgets.

    Streams that a sample lacks have concentration 0. Mixtures that would leave a sample without input or target are not
    drawn for it, unless all would. Budgets are cut to their limits; the excess is lost unless ``redistribute``.
    """
    component = sample_mixture(tables, present, rng)
    inputs = allocate_tokens(
        tables.input_alpha[component] * present, num_inputs, limits.inputs, rng, redistribute=redistribute
    )
    left = np.where(limits.exclusive, limits.targets - inputs, limits.targets)
    targets = allocate_tokens(
        tables.target_alpha[component] * present, num_targets, left, rng, redistribute=redistribute
    )
    return Budgets(inputs=inputs, targets=targets, component=component)


def sample_mixture(tables: MixtureTable, present: Bool[ndarray, "b s"], rng: np.random.Generator) -> Int[ndarray, " b"]:
    """Draw a mixture for each sample by weight, among those that give it an input and a target."""
    there = present.astype(np.float64)
    useful = (there @ (tables.input_alpha > 0).T > 0) & (there @ (tables.target_alpha > 0).T > 0)
    weight = useful * tables.weight
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0, weight, tables.weight)
    upto = weight.cumsum(axis=1)
    component: ndarray = (rng.random(len(present))[:, None] * upto[:, -1:] >= upto).sum(axis=1)
    return component


def allocate_tokens(
    alpha: Float[ndarray, "b s"],
    total: Int[ndarray, " b"],
    limits: Int[ndarray, "b s"],
    rng: np.random.Generator,
    *,
    redistribute: bool = False,
) -> Int[ndarray, "b s"]:
    """Allocate ``total`` tokens by Dirichlet draws, cut to ``limits``.

    Each stream gets the floor of its share. Each remaining token goes to the largest share of a Dirichlet draw of its
    own, so that none goes to a stream of concentration near 0.
    """
    budget: ndarray = np.minimum(_allocate_once(alpha, total, rng), limits)
    for _ in range(REDISTRIBUTION_ROUNDS if redistribute else 0):
        free = alpha * (budget < limits)
        budget = np.minimum(budget + _allocate_once(free, total - budget.sum(axis=1), rng), limits)
    return budget


def _allocate_once(
    alpha: Float[ndarray, "b s"], total: Int[ndarray, " b"], rng: np.random.Generator
) -> Int[ndarray, "b s"]:
    """Allocate ``total`` tokens; none if every concentration is 0."""
    amount = sample_log_gamma(alpha, rng)
    top = amount.max(axis=1, keepdims=True)
    amount = np.exp(amount - np.where(np.isfinite(top), top, 0.0))
    share = amount / np.maximum(amount.sum(axis=1, keepdims=True), 1e-300)
    budget: ndarray = (share * total[:, None]).astype(np.int64)
    rest = np.where((alpha > 0).any(axis=1), total - budget.sum(axis=1), 0)
    row = np.repeat(np.arange(len(alpha)), rest)
    place = row * alpha.shape[1] + _sample_largest_share(alpha, row, rng)
    budget += np.bincount(place, minlength=alpha.size).reshape(alpha.shape)
    return budget


def _sample_largest_share(
    alpha: Float[ndarray, "b s"], row: Int[ndarray, " r"], rng: np.random.Generator
) -> Int[ndarray, " r"]:
    """Stream with the largest share in one Dirichlet draw for each of ``row``."""
    is_even = ((alpha == alpha.max(axis=1, keepdims=True)) | (alpha == 0)).all(axis=1)[row]
    # Among equal concentrations any continuous distribution gives the same winner; uniform draws cost a tenth.
    keys = np.where(alpha[row] > 0, rng.random((len(row), alpha.shape[1])), -np.inf)
    uneven = np.flatnonzero(~is_even)
    keys[uneven] = sample_log_gamma(alpha[row[uneven]], rng)
    winner: ndarray = keys.argmax(axis=1)
    return winner


def sample_log_gamma(alpha: Float[ndarray, "b s"], rng: np.random.Generator) -> Float[ndarray, "b s"]:
    """Logarithms of Gamma(alpha, 1) draws; minus infinity where alpha is 0. Divided by their sum they are Dirichlet.

    In logarithms nothing underflows at concentrations like 0.01: Gamma(a) has the law of Gamma(a + 1) times U^(1/a).
    """
    safe = np.where(alpha > 0, alpha, 1.0)
    above = np.log(rng.standard_gamma(safe + 1))
    uniform = -rng.standard_exponential(alpha.shape)
    return np.where(alpha > 0, above + uniform / safe, -np.inf)
