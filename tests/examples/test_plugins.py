"""The plug-ins of the examples keep the contract, and can be installed beside each other and the built-in ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fourm_earth.kinds import MeasuredMap, MonthlyValues
from fourm_stamps.modalities import Sound
from modalities import ClassMap, EdgeMap, FreeTextModality, Metadata, Modality, assert_conforms, default_registry
from tests.examples.plugins import published_modalities

PUBLISHED = {
    name: modality
    for example in ("earth", "emoji", "stamps")
    for name, modality in published_modalities(example).items()
}


def _values(modality: Modality) -> Sequence[Any]:
    """Three legal values of a modality at its own scale."""
    rng = np.random.default_rng(0)
    match modality:
        case MeasuredMap():
            side, span = modality.dense_layout.size, modality.range
            return [rng.uniform(span.low, span.high, (side, side)).astype(np.float32) for _ in range(3)]
        case Sound():
            side = modality.dense_layout.size
            return [rng.uniform(-80, 0, (side, side)).astype(np.float32) for _ in range(3)]
        case MonthlyValues():
            return [rng.uniform(modality.range.low, modality.range.high, 12).astype(np.float32) for _ in range(3)]
        case ClassMap():
            side = modality.dense_layout.size
            return [rng.integers(0, len(modality.classes), (side, side), dtype=np.uint8) for _ in range(3)]
        case EdgeMap():
            side = modality.dense_layout.size
            return [(rng.uniform(size=(side, side)) < 0.1).astype(np.uint8) for _ in range(3)]
        case Metadata():
            numbers = ([10, 3000, -12.5, 700, 0.4], [-55, 10, 25, 2500, 1.0])
            names = [field.name for field in modality.fields]
            return [{name: float(n) for name, n in zip(names, row, strict=True)} for row in numbers]
        case FreeTextModality():
            return ["Oslo, Norway", "une grenouille verte."]
        case _:
            raise AssertionError(f"no values of {modality.name}")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_plug_in_conforms(name: str) -> None:
    assert PUBLISHED[name].name == name
    assert_conforms(PUBLISHED[name], _values(PUBLISHED[name]))


def test_names_of_plug_ins_differ_from_each_other_and_from_the_built_in_ones() -> None:
    names = [name for example in ("earth", "emoji", "stamps") for name in published_modalities(example)]
    assert len(set(names)) == len(names) == len(PUBLISHED)
    origins = {name: default_registry().origin(name) for name in names if name in default_registry()}
    assert all(origin.startswith("fourm-") for origin in origins.values())
