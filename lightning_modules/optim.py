"""Settings of the optimizer and its learning-rate schedule, of every network that is trained here."""

import math
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import ClassVar

from modalities.errors import ConfigError


class OptimizerName(Enum):
    """Optimizers."""

    adamw = "adamw"
    muon = "muon"
    """Muon for the matrices that `OptimConfig.muon_weights` names, AdamW for the rest."""


@dataclass(frozen=True, kw_only=True)
class ParamGroup:
    """Settings of the weights whose names match a pattern."""

    pattern: str = ""
    """Regular expression, searched in the names of weights; the first group that matches takes the weight."""
    lr: float | None = None
    """Peak learning rate; null for the section's."""
    weight_decay: float | None = None
    """Weight decay of matrices; null for the section's."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Linear warm-up, then cosine decay: a factor on each parameter group's own peak learning rate.

    Subclasses define the unit of the schedule, and the defaults.
    """

    section: ClassVar[str] = "optim"
    """Name of the config section, for error messages."""
    fused: ClassVar[bool] = True
    """Update all weights in one fused kernel."""

    name: OptimizerName = OptimizerName.adamw
    """Optimizer. Muon updates the matrices that `muon_weights` names, and AdamW the rest."""
    muon_weights: str = r"(^|\.)(encoder|decoder)\.\d+\."
    """Regular expression, searched in the names of weights: matrices that Muon updates, by default those of blocks."""
    muon_momentum: float = 0.95
    """Decay of Muon's momentum."""
    muon_iterations: int = 5
    """Newton-Schulz iterations of Muon."""
    lr: float = 1e-3
    """Peak learning rate, per optimizer step."""
    min_lr: float = 0.0
    """Learning rate at the end of the schedule; groups end at the same share of their own peak."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.05
    """Weight decay of matrices; norms, biases and other vectors do not decay."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 disables clipping."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average of the weights, per step; 0 trains without averaging."""
    groups: list[ParamGroup] = field(default_factory=list)
    """Weights with settings of their own, as ``[{pattern: heads, lr: 1e-4}]``."""

    def __post_init__(self) -> None:
        self._check(self.lr > 0, f"lr must be positive, got {self.lr}")
        self._check(0 <= self.min_lr <= self.lr, f"min_lr must lie in 0..{self.lr}, got {self.min_lr}")
        self._check(
            0 <= self.muon_momentum < 1, f"muon_momentum must lie in 0..1, 1 excluded, got {self.muon_momentum}"
        )
        self._check(self.muon_iterations >= 1, f"muon_iterations must be at least 1, got {self.muon_iterations}")
        self._check_pattern("muon_weights", self.muon_weights)
        self._check(self.clip >= 0, f"clip must be at least 0, got {self.clip}")
        self._check(0 <= self.ema_decay < 1, f"ema_decay must lie in 0..1, 1 excluded, got {self.ema_decay}")
        for number, group in enumerate(self.groups):
            self._check(group.lr is None or group.lr > 0, f"groups[{number}].lr must be positive, got {group.lr}")
            self._check_pattern(f"groups[{number}].pattern", group.pattern)

    def _check(self, valid: bool, message: str) -> None:  # noqa: FBT001
        if not valid:
            raise ConfigError(f"{self.section}.{message}.")

    def _check_pattern(self, name: str, pattern: str) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"{self.section}.{name} {pattern!r} is no regular expression: {error}.") from error

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        if self.name is OptimizerName.muon:
            return {}
        reason = f"{self.section}.name={self.name.value} does not use Muon"
        return dict.fromkeys(("muon_weights", "muon_momentum", "muon_iterations"), reason)

    @property
    def warmup(self) -> float:
        """Length of the warm-up, in the schedule's unit."""
        raise NotImplementedError

    @property
    def total(self) -> float:
        """End of the schedule, in its unit."""
        raise NotImplementedError

    def lr_factor(self, position: float) -> float:
        """Learning rate at ``position`` of the schedule, as a share of its peak."""
        if position < self.warmup:
            return self._warmup_factor(position)
        progress = (position - self.warmup) / max(1.0, self.total - self.warmup)
        floor = self.min_lr / self.lr
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def _warmup_factor(self, position: float) -> float:
        return position / self.warmup


@dataclass(frozen=True, kw_only=True)
class FourMOptimConfig(OptimConfig):
    """Optimizer of the 4M model, its schedule in tokens. A token is a slot of the encoder or of the decoder."""

    lr: float = 3.2e-3
    """Peak learning rate, per optimizer step (4M-7 B: 1e-4 times batch 8,192 over 256)."""
    warmup_tokens: float = 10e9
    """Tokens until the peak, inputs and targets together."""
    total_tokens: float = 500e9
    """Tokens at the end of the schedule, inputs and targets together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(self.total_tokens > 0, f"total_tokens must be positive, got {self.total_tokens:g}")
        self._check(
            0 <= self.warmup_tokens <= self.total_tokens,
            f"warmup_tokens must lie in 0..{self.total_tokens:g}, got {self.warmup_tokens:g}",
        )

    @property
    def warmup(self) -> float:
        """Length of the warm-up, in tokens."""
        return self.warmup_tokens

    @property
    def total(self) -> float:
        """End of the schedule, in tokens."""
        return self.total_tokens


@dataclass(frozen=True, kw_only=True)
class TokenizerOptimConfig(OptimConfig):
    """Optimizer of the tokenizers, its schedule in steps; the defaults are the published ones at batch 256.

    Names of weights begin with the kind of the tokenizer and its name: ``product_mlp.dinov2_global.decoder.0.weight``.
    """

    section: ClassVar[str] = "tokenizer_optim"
    # The fused kernel rounds differently, and published figures were made without it.
    fused: ClassVar[bool] = False

    lr: float = 1e-4
    """Peak learning rate. The papers multiply theirs by the whole batch over 256."""
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    """Largest norm of the gradient; 0 disables clipping."""
    ema_decay: float = 0.99
    """Decay of the exponential moving average of the weights, per step; 0 trains without averaging."""
    steps: int = 100_000
    """Optimizer steps from start to end of the schedule."""
    warmup_steps: int = 5_000
    """Optimizer steps until the peak."""
    seed: int = 0
    """Seed of random draws in training: product codes, noise, new codes for unused ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            0 <= self.warmup_steps <= self.steps,
            f"warmup_steps must lie in 0..{self.steps}, got {self.warmup_steps}",
        )

    @classmethod
    def nano(cls, steps: int = 800) -> "TokenizerOptimConfig":
        """The settings that go with `TokenizerConfig.nano` and a batch of 16.

        Product codes collapse at the learning rate of other codebooks, so theirs is lower.
        """
        return cls(
            lr=8e-3,
            groups=[ParamGroup(pattern=r"^product_mlp\.", lr=1e-3)],
            betas=(0.9, 0.95),
            steps=steps,
            warmup_steps=steps // 20,
            weight_decay=0.0,
            ema_decay=0.95,
        )

    def with_steps(self, steps: int | None) -> "TokenizerOptimConfig":
        """A copy with another number of steps, of which warm-up takes at most a tenth; itself for None."""
        if steps is None:
            return self
        return replace(self, steps=steps, warmup_steps=min(self.warmup_steps, steps // 10))

    @property
    def warmup(self) -> float:
        """Length of the warm-up, in steps."""
        return self.warmup_steps

    @property
    def total(self) -> float:
        """End of the schedule, in steps."""
        return self.steps

    def _warmup_factor(self, position: float) -> float:
        # Position 0 is the first step, which is not taken at a rate of zero.
        return (position + 1) / self.warmup
