"""AdamW and its schedule, counted in tokens as the papers do."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from modalities.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with linear warm-up, then cosine decay. A token is a slot of the encoder or of the decoder."""

    lr: float = 3.2e-3
    """Peak learning rate, per optimizer step (4M-7 B: 1e-4 times batch 8,192 over 256)."""
    min_lr: float = 0.0
    """Learning rate at the end."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.05
    """On matrices; none on norms, biases and other vectors."""
    warmup_tokens: float = 10e9
    """Tokens until the peak, inputs and targets together."""
    total_tokens: float = 500e9
    """Tokens at the end of the schedule, inputs and targets together."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 leaves gradients as they are."""
    ema_decay: float = 0.0
    """Share of the old value that an averaged weight keeps at each step; 0 trains without averaging."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"optim.lr must be positive, got {self.lr}.")
        if not self.total_tokens > 0:
            raise ConfigError(f"optim.total_tokens must be positive, got {self.total_tokens:g}.")
        if not 0 <= self.warmup_tokens <= self.total_tokens:
            raise ConfigError(f"optim.warmup_tokens must lie in 0..{self.total_tokens:g}, got {self.warmup_tokens:g}.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"optim.ema_decay must lie in 0..1, 1 excluded, got {self.ema_decay}.")

    def lr_at(self, tokens: float) -> float:
        """The learning rate after ``tokens``."""
        if tokens < self.warmup_tokens:
            return self.lr * tokens / self.warmup_tokens
        progress = (tokens - self.warmup_tokens) / max(1.0, self.total_tokens - self.warmup_tokens)
        return self.min_lr + (self.lr - self.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def build_adamw(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over a model's weights, vectors without decay, in one fused kernel."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    betas = (config.betas[0], config.betas[1])
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=True)
