"""The page on values says what the code checks."""

from typing import Any

import numpy as np
import pytest

from modalities.checks import check_value
from modalities.errors import DataError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.sources.scenes import scene_values
from tests.modalities.value_table import PAGE, page_with, value_table

REGISTRY = {
    name: item.scaled(ScaleConfig(size=32, patch=8, max_channels=8)) for name, item in default_registry().items()
}
ARRAYS = ["canny_edges", "clip", "depth", "dinov2_global", "normals", "rgb", "sam_instances", "semseg", "t5_caption"]


def test_the_table_of_values_is_what_the_modalities_declare() -> None:
    assert PAGE.read_text() == page_with(value_table(default_registry())), "run python -m tests.modalities.value_table"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_checked_value_has_the_type_and_the_range_that_are_declared(name: str) -> None:
    modality = REGISTRY[name]
    spec = modality.value_spec
    for value in scene_values(modality, size=32, seeds=range(4)):
        checked = check_value(modality, value, "a")
        assert type(checked).__name__ in spec.type or str(getattr(checked, "dtype", "")) == spec.type
        if isinstance(checked, np.ndarray):
            assert len(spec.shape.strip("()").rstrip(",").split(",")) == checked.ndim
            assert spec.low is None or checked.size == 0 or checked.min() >= spec.low
            assert spec.high is None or checked.size == 0 or checked.max() <= spec.high


@pytest.mark.parametrize("name", ARRAYS)
def test_numbers_outside_the_declared_range_are_refused(name: str) -> None:
    modality = REGISTRY[name]
    spec = modality.value_spec
    (value,) = scene_values(modality, size=32, seeds=[5])
    for limit, step in ((spec.low, -2), (spec.high, 2)):
        if limit is None:
            continue
        wrong: Any = np.array(value, dtype=np.float64 if value.dtype.kind == "f" else np.int64)
        wrong[(0,) * wrong.ndim] = limit + step
        with pytest.raises(DataError, match=r"^a "):
            check_value(modality, wrong, "a")
