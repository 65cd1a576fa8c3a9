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


def test_no_pictures_are_fine_but_not_fewer() -> None:
    assert EvaluationConfig(num_pictures=0).num_pictures == 0
    with pytest.raises(ConfigError, match="num_pictures must be at least 0"):
        EvaluationConfig(num_pictures=-1)
    with pytest.raises(ConfigError, match="max_tokens must be at least 1"):
        EvaluationConfig(max_tokens=0)
