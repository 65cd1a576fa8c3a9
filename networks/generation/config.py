"""How targets are generated: scheme, steps, temperature, truncation and guidance of each, and what they share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from modalities.errors import ConfigError, UserError
from networks.generation.sampling import check_filter
from networks.generation.schedules import Temperature, TokenSchedule


class GenerationError(UserError):
    """Inputs or targets that a model cannot generate from or to."""


class DecodingScheme(Enum):
    """Which tokens of a grid a step decides."""

    maskgit = "maskgit"
    """Those it is surest of, after all that are left have been drawn (Chang et al. 2022, arXiv:2202.04200)."""
    roar = "roar"
    """Random ones; only they are computed. More varied, where `maskgit` is plainer."""


@dataclass(frozen=True, kw_only=True)
class GuidanceCondition:
    """Inputs that pull together, and how hard. Negative weights push away."""

    streams: tuple[str, ...]
    weight: float

    def __post_init__(self) -> None:
        if not self.streams or not math.isfinite(self.weight):
            raise ConfigError(f"A condition needs streams and a finite weight, got {self.streams} and {self.weight}.")


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How one target is generated. Sequences are written from left to right, whatever the scheme and steps."""

    scheme: DecodingScheme = DecodingScheme.roar
    steps: int = 1
    """Steps of a grid; a partly known one takes no more than it has tokens to decide."""
    tokens: TokenSchedule = TokenSchedule.linear
    temperature: Temperature = field(default_factory=Temperature)
    """Sequences keep its start throughout."""
    top_k: float = 0.0
    """How many of the likeliest tokens may be drawn, or below 1 which share of the vocabulary; 0 for all."""
    top_p: float = 1.0
    """Together how likely those are that may be drawn."""
    guidance: float = 1.0
    """Weight of all inputs together: 1 is without guidance, 0 without inputs, below 0 away from them."""
    conditions: tuple[GuidanceCondition, ...] = ()
    """Several weighted sets of inputs in place of `guidance`."""

    def __post_init__(self) -> None:
        problem = check_filter(self.top_k, self.top_p)
        if self.steps < 1:
            problem = f"steps must be at least 1, got {self.steps}"
        if not math.isfinite(self.guidance):
            problem = f"guidance must be finite, got {self.guidance}"
        if problem:
            raise ConfigError(f"generation: {problem}.")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a chain of targets is generated, each finished one becoming an input of the next."""

    decodings: Mapping[str, DecodingConfig] = field(default_factory=dict)
    """By stream; what is not named takes `default`."""
    default: DecodingConfig = field(default_factory=DecodingConfig)
    accumulate_conditioning: bool = True
    """True where guidance counts finished targets among the inputs that it weighs."""
    prompt_with_sentinel: bool = True
    """True shows the first sentinel of a sequence that is to be written whole, as the published sampler does."""

    def for_stream(self, stream: str) -> DecodingConfig:
        """How ``stream`` is generated."""
        return self.decodings.get(stream, self.default)
