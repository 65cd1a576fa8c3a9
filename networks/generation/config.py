"""Configuration of generation: scheme, steps, temperature, filters and guidance of each target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from modalities.errors import ConfigError, UserError
from networks.generation.sampling import check_filter
from networks.generation.schedules import Temperature, TokenSchedule


class GenerationError(UserError):
    """Inputs, targets or settings that do not fit the model."""


class DecodingScheme(Enum):
    """Choice of the tokens of a grid that a step decides."""

    maskgit = "maskgit"
    """The most confident ones, after all undecided tokens were sampled (Chang et al. 2022, arXiv:2202.04200)."""
    roar = "roar"
    """Random ones; only they are computed. Gives more varied results than `maskgit`."""


@dataclass(frozen=True, kw_only=True)
class GuidanceCondition:
    """Inputs of one guidance condition and their weight; negative weights guide away from them."""

    streams: tuple[str, ...]
    weight: float

    def __post_init__(self) -> None:
        if not self.streams or not math.isfinite(self.weight):
            raise ConfigError(f"A condition needs streams and a finite weight, got {self.streams} and {self.weight}.")


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """Settings of one target. Sequences are generated from left to right and ignore scheme and steps."""

    scheme: DecodingScheme = DecodingScheme.roar
    steps: int = 1
    """Steps of a grid, at most as many as it has undecided tokens."""
    tokens: TokenSchedule = TokenSchedule.linear
    temperature: Temperature = field(default_factory=Temperature)
    """Sequences use its start throughout."""
    top_k: float = 0.0
    """Number of most likely tokens that may be drawn, or below 1 their share of the vocabulary; 0 for all."""
    top_p: float = 1.0
    """Total probability of the most likely tokens that may be drawn."""
    guidance: float = 1.0
    """Weight of all inputs together: 1 means no guidance, 0 no inputs, below 0 away from them."""
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
    """Settings of a chain of targets; each completed target is an input of the next."""

    decodings: Mapping[str, DecodingConfig] = field(default_factory=dict)
    """By stream; others take `default`."""
    default: DecodingConfig = field(default_factory=DecodingConfig)
    accumulate_conditioning: bool = True
    """True if guidance counts completed targets as inputs."""
    prompt_with_sentinel: bool = True
    """True to show the first sentinel of a sequence that is generated as a whole, as the published sampler does."""

    def for_stream(self, stream: str) -> DecodingConfig:
        """Settings of ``stream``."""
        return self.decodings.get(stream, self.default)
