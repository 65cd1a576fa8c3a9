"""The one place where a value is checked against what its modality declares, whoever brings it."""

from typing import assert_never

from modalities.errors import DataError, error_reason
from modalities.layouts import Dense, Embeddings, Text, Vector
from modalities.spec import Modality, Value

_MISTAKES = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""Exceptions with which a modality's code meets a value of another form."""


def check_value(modality: Modality, value: Value, origin: str) -> Value:
    """The value as the modality takes it, before cropping: in its type, inside its range, in order.

    What can be cut without doubt is cut, such as boxes that reach outside the image, and reported through
    `modalities.corrections.report_correction`.

    Args:
        origin: Where the value comes from, such as a file's name; messages begin with it.

    Raises:
        DataError: The value is not the modality's: one line says where, what was found and what was expected.
    """
    if value is None:
        raise DataError(f"{origin} is None, expected for {modality.name} {modality.value_spec}.")
    try:
        checked = modality.check(value, origin)
        problem = _layout_problem(modality, checked)
    except _MISTAKES as error:
        raise DataError(f"{origin} does not hold {modality.title.lower()}: {error_reason(error)}.") from error
    if problem:
        raise DataError(f"{origin} has {problem}: expected for {modality.name} {modality.value_spec}.")
    return checked


def _layout_problem(modality: Modality, value: Value) -> str:
    """The difference between the axes of ``value`` and those of the layout; empty where there is none."""
    match modality.layout:
        case Dense(channels=channels, categorical=categorical):
            expected: tuple[int | None, ...] = (None, None) if categorical or channels == 1 else (None, None, channels)
        case Vector(channels=channels):
            expected = (channels,)
        case Embeddings(channels=channels):
            expected = (None, channels)
        case Text():
            return ""
        case _:
            assert_never(modality.layout)
    found = getattr(value, "shape", None)
    if found is None:
        return f"a {type(value).__name__}"
    axes = zip(found, expected, strict=False)
    fits = len(found) == len(expected) and all(length in (None, size) for size, length in axes)
    return "" if fits and 0 not in found else f"shape {tuple(found)}"
