"""Cases of schedules: how many tokens a step of generation decides, and at which temperature it draws."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from networks.generation.schedules import Temperature, TokenSchedule, tokens_per_step
from tests.reference.check import Check, compare_tensors, compare_values

WITHIN = 1e-6


def is_schedules(content: Any) -> bool:
    """True for tokens or temperatures by step."""
    return isinstance(content, dict) and bool({"tokens_per_step", "temperature_per_step"} & set(content))


def check_schedules(case: str, content: Mapping[str, Any]) -> Iterator[Check]:
    """Every schedule; temperatures are those of steps that decide equally many tokens."""
    for name, expected in content.get("tokens_per_step", {}).items():
        kind, steps, tokens = name.split(":")
        yield compare_values(
            case, f"tokens {name}", tokens_per_step(TokenSchedule(kind), int(steps), int(tokens)), expected
        )
    for name, expected in content.get("temperature_per_step", {}).items():
        *words, steps, tokens = name.split(":")
        counts = tokens_per_step(TokenSchedule.linear, int(steps), int(tokens))
        found = torch.tensor(Temperature.parse(":".join(words)).steps(counts), dtype=torch.float64)
        yield compare_tensors(case, f"temperature {name}", found, torch.tensor(expected, dtype=torch.float64), WITHIN)
