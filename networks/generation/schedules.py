"""Schedules of generation: tokens and temperature of each step.

Source: the cosine schedule is MaskGIT's (Chang et al. 2022, arXiv:2202.04200, section 3.3); linear and ``onex`` are
4M's (Mizrahi et al. 2023, arXiv:2312.06647), with the rounding of its released sampler.
"""

import math
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from modalities.errors import ConfigError

MIN_ONEX_POWER = 1e-3
"""Below this, `onex_temperatures` would lose its digits."""
ONEX_MAX = 100.0
"""End of the range of x in `onex_temperatures`, which starts at 1."""


class TokenSchedule(Enum):
    """Number of tokens of a grid that each step decides."""

    cosine = "cosine"
    """Few at first and at the end, most in the middle."""
    linear = "linear"
    """The same number in every step."""


class TemperatureSchedule(Enum):
    """Course of the temperature over the steps of a grid."""

    constant = "constant"
    linear = "linear"
    """Proportional to the number of undecided tokens."""
    onex = "onex"
    """From the start steeply down to a floor."""


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """The temperature of each step, by which logits are divided; 0 takes the argmax."""

    schedule: TemperatureSchedule = TemperatureSchedule.constant
    start: float = 1.0
    """The temperature, or its first value."""
    floor: float = 0.5
    """Last value of `TemperatureSchedule.onex`."""
    power: float = 0.5
    """Exponent of `TemperatureSchedule.onex`: larger values fall faster."""

    def __post_init__(self) -> None:
        numbers = (self.start, self.floor, self.power)
        if not all(math.isfinite(number) and number >= 0 for number in numbers) or self.power < MIN_ONEX_POWER:
            raise ConfigError(
                f"A temperature takes start and floor from 0 and a power from {MIN_ONEX_POWER} on, got {numbers}."
            )
        if self.schedule is TemperatureSchedule.onex and self.floor > self.start:
            raise ConfigError(f"A temperature cannot fall from {self.start} to {self.floor}: set a lower floor.")

    @classmethod
    def parse(cls, text: str) -> "Temperature":
        """Parse ``0.7``, ``linear:2.0``, or ``onex:6.0:0.5:0.5`` (start, floor, power).

        Raises:
            ConfigError: The text has another form.
        """
        kind, _, rest = text.partition(":")
        names = [item.value for item in TemperatureSchedule]
        try:
            if kind not in names:
                return cls(start=float(text))
            numbers = [float(number) for number in rest.split(":")]
            max_values = 3 if kind == TemperatureSchedule.onex.value else 1
            if not 1 <= len(numbers) <= max_values:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"{text!r} is not a temperature: expected a number, linear:START or onex:START:FLOOR:POWER."
            ) from None
        parts = dict(zip(("start", "floor", "power"), numbers, strict=False))
        return cls(schedule=TemperatureSchedule(kind), **parts)

    def __str__(self) -> str:
        match self.schedule:
            case TemperatureSchedule.constant:
                return f"{self.start:g}"
            case TemperatureSchedule.linear:
                return f"linear:{self.start:g}"
            case TemperatureSchedule.onex:
                return f"onex:{self.start:g}:{self.floor:g}:{self.power:g}"

    def steps(self, tokens: list[int]) -> list[float]:
        """The temperature of each step; ``tokens`` is the number of tokens that each decides."""
        match self.schedule:
            case TemperatureSchedule.constant:
                return [self.start] * len(tokens)
            case TemperatureSchedule.linear:
                return linear_temperatures(self.start, tokens)
            case TemperatureSchedule.onex:
                return onex_temperatures(self.start, self.floor, tokens, power=self.power)


def tokens_per_step(schedule: TokenSchedule, num_steps: int, num_tokens: int) -> list[int]:
    """Number of tokens that each step decides, in total ``num_tokens``. A cosine's first steps may have none.

    Raises:
        ConfigError: There are no steps, or more than tokens.
    """
    if not 1 <= num_steps <= num_tokens:
        raise ConfigError(
            f"Generating {num_tokens} tokens takes from 1 to {num_tokens} steps, got {num_steps}: set other steps."
        )
    match schedule:
        case TokenSchedule.linear:
            base, remainder = divmod(num_tokens, num_steps)
            return [base + (step < remainder) for step in range(num_steps)]
        case TokenSchedule.cosine:
            remaining = [0.5 * (1 + math.cos(math.pi * step / num_steps)) for step in range(num_steps)]
            counts: list[int] = []
            for before, after in pairwise(remaining):
                counts.append(min(round(num_tokens * (before - after)), num_tokens - sum(counts)))
            return [*counts, num_tokens - sum(counts)]


def linear_temperatures(start: float, tokens: list[int]) -> list[float]:
    """Temperatures from ``start`` down, proportional to the tokens undecided before each step."""
    total, done, temperatures = sum(tokens), 0, []
    for count in tokens:
        temperatures.append(start * (1 - done / total))
        done += count
    return temperatures


def onex_temperatures(start: float, floor: float, tokens: list[int], *, power: float = 0.5) -> list[float]:
    """Temperatures from nearly ``start`` steeply down to ``floor``.

    The remaining part of ``start - floor`` is the product of the share of tokens undecided after the step and
    1 / x^power, rescaled to run from 1 to 0 while x runs from 1 to `ONEX_MAX` in as many places as there are tokens. As
    in the released sampler, a step counts as one place, however many tokens it decides.
    """
    total, done, temperatures = sum(tokens), 0, []
    floor_value = ONEX_MAX**-power
    for step, count in enumerate(tokens):
        done += count
        x = 1 + (ONEX_MAX - 1) * step / max(total - 1, 1)
        decay = (x**-power - floor_value) / (1 - floor_value)
        temperatures.append(floor + (start - floor) * (1 - done / total) * decay)
    return temperatures
