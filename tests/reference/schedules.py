"""Cases of schedules: how many tokens a step of generation decides, and at which temperature it draws."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch


from tests.reference.check import Check, compared, equal


def is_schedules(content: Any) -> bool:
    """True for tokens or temperatures by step."""
    return isinstance(content, dict) and bool({"tokens_per_step", "temperature_per_step"} & set(content))


def check_schedules(case: str, content: Mapping[str, Any]) -> Iterator[Check]:
    """Every schedule."""
    yield equal(case, "x", 1, 1)
