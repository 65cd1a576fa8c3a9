"""The subject of an examination: a modality with sample values, and the comparison of values."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.layouts import Dense, Embeddings, Text, Vector
from modalities.spec import Crop, Modality, Value, learned_tokenizer

TOLERANCE = 1e-3
"""Largest difference of numbers that count as equal, relative and absolute."""

FULL_CROP = Crop(left=0, top=0, width=1, height=1)
"""The crop that shows an image whole."""


class ContractError(Exception):
    """A point of the contract that does not hold."""


def require(holds: object, message: str) -> None:
    """Fail the check that is running unless ``holds``."""
    if not holds:
        raise ContractError(message)


@dataclass(frozen=True)
class ModalityUnderTest:
    """A modality under examination, and values of it."""

    modality: Modality
    values: tuple[Value, ...]
    """Legal values, of the shape that the modality's own layout says."""

    def codes(self, value: Value) -> NDArray[np.int64] | None:
        """Codes that a learned tokenizer might give the value's parts, where there are any."""
        found = learned_tokenizer(self.modality)
        if found is None:
            return None
        shape = (len(self.modality.preprocess(value)), found.layout.num_tokens)
        return np.random.default_rng(0).integers(0, found.tokenizer.vocab_size, shape)


def values_equal(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    """True where two values say the same: arrays and numbers within the tolerance, everything else exactly."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        one, other = np.asarray(one), np.asarray(other)
        return one.shape == other.shape and np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance) or (one != one and other != other)
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        return all(
            values_equal(getattr(one, item.name), getattr(other, item.name), tolerance)
            for item in dataclasses.fields(one)
        )
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(values_equal(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(values_equal(*pair, tolerance) for pair in zip(one, other, strict=True))
    return bool(one == other)


def shape_problem(modality: Modality, value: Value) -> str:
    """The difference between the shape of ``value`` and that of the layout; empty where there is none."""
    match modality.layout:
        case Dense() as layout:
            side = layout.values_per_side
            shape: tuple[int, ...] = (side, side)
            if layout.channels > 1 and not layout.categorical:
                shape = (side, side, layout.channels)
        case Vector() as layout:
            shape = (layout.channels,)
        case Embeddings() as layout:
            rows: tuple[int, ...] = getattr(value, "shape", ())
            fits = len(rows) == 2 and rows[0] <= layout.max_tokens and rows[1] == layout.channels
            return "" if fits else f"shape {rows}, expected (up to {layout.max_tokens}, {layout.channels})"
        case Text():
            return "" if value is not None else "None, expected a value"
    found = getattr(value, "shape", None)
    return "" if found == shape else f"shape {found}, expected {shape}"
