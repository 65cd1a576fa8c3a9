from dataclasses import replace
from typing import Any

import pytest

from evaluation.config import EvaluationConfig
from modalities.errors import ConfigError


@pytest.mark.parametrize(
    "name", ["num_samples", "num_sequences", "num_chance", "batch_size", "masked_inputs", "resamples"]
)
def test_a_count_below_one_is_an_error_that_names_the_setting(name: str) -> None:
    changed: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=f"evaluation.{name} must be at least 1, got 0"):
        replace(EvaluationConfig(), **changed)


@pytest.mark.parametrize("name", ["num_pictures", "num_generated"])
def test_no_pictures_are_fine_but_not_fewer(name: str) -> None:
    none: dict[str, Any] = {name: 0}
    fewer: dict[str, Any] = {name: -1}
    assert getattr(EvaluationConfig(**none), name) == 0
    with pytest.raises(ConfigError, match=f"{name} must be at least 0, got -1"):
        EvaluationConfig(**fewer)


def test_no_tokens_are_too_few() -> None:
    with pytest.raises(ConfigError, match="max_tokens must be at least 1"):
        EvaluationConfig(max_tokens=0)
