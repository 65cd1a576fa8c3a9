"""Measured values: the tokenizer's range and the errors, against numpy."""

import numpy as np
import pytest
import torch

from fourm_earth.kinds import OffsetField, Range, error_metrics
from fourm_earth.modalities import ELEVATION, GEOGRAPHY


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_a_range_is_decoded_as_it_was_encoded(power: float) -> None:
    span = Range(unit="m", low=-500, high=6500, power=power)
    values = np.linspace(-500, 6500, 50)
    levels = span.encode(values)
    assert levels.min() == -1
    assert levels.max() == 1
    assert (np.diff(levels) > 0).all()
    assert np.allclose(span.decode(levels), values, atol=0.1)


def test_values_outside_a_range_count_as_its_ends() -> None:
    assert ELEVATION.range.encode(np.array([-9999.0, 9999.0])).tolist() == [-1, 1]


def test_errors_are_those_of_numpy_over_batches() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, 4, 4)).astype(np.float32)
    metrics = error_metrics("m")
    for start in (0, 2):
        stop = start + 2 if start == 0 else 6
        metrics.update(torch.from_numpy(one[start:stop]), torch.from_numpy(other[start:stop]))
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found["rmse"] == pytest.approx(np.sqrt(((one - other) ** 2).mean()), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(one - other).mean(), rel=1e-5)


def test_a_fact_below_zero_has_a_bin_of_its_own() -> None:
    latitude = next(field for field in GEOGRAPHY.fields if field.name == "latitude")
    assert isinstance(latitude, OffsetField)
    assert latitude.to_bin(-60) == 0
    assert latitude.to_bin(-99) == 0
    assert latitude.to_bin(60) == latitude.num_bins - 1
    for value in (-55.0, -20.0, 0.0, 33.0):
        assert abs(latitude.from_bin(latitude.to_bin(value)) - value) <= 120 / 49
