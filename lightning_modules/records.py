"""Frozen dataclasses to plain JSON values and back, with errors that name the field."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

TAG = "type"
"""Key that holds the class's name, for fields that can be of several classes."""


def to_plain(value: Any) -> Any:
    """``value`` in terms of JSON: records become objects that name their class, enums their value, tuples lists."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        content = {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
        return {TAG: type(value).__name__, **content}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: Any) -> T:
    """The record of class ``kind`` that `to_plain` wrote.

    Raises:
        ValueError: A field without a default is missing, a field is unknown, or its value is of another type; the
            message names it. What an older version did not write yet has its default.
    """
    return cast(T, _read(kind, value, kind.__name__))


def _read(hint: Any, value: Any, place: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, place)
    if origin is tuple:
        return tuple(_read(get_args(hint)[0], item, place) for item in _expect(value, (list, tuple), place))
    if origin is list:
        return [_read(get_args(hint)[0], item, place) for item in _expect(value, list, place)]
    if origin is dict:
        items = _expect(value, dict, place)
        return {key: _read(get_args(hint)[1], item, f"{place}.{key}") for key, item in items.items()}
    if is_dataclass(hint):
        return _read_record(cast(type, hint), _expect(value, dict, place), place)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"{place} is {value!r}, expected one of {[item.value for item in hint]}") from None
    if hint is float and type(value) is int:
        return float(value)
    return _expect(value, hint, place)


def _read_union(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and type(None) in choices:
        return None
    if isinstance(value, dict) and TAG in value:
        for choice in choices:
            if choice.__name__ == value[TAG]:
                return _read(choice, value, place)
        raise ValueError(f"{place} is a {value[TAG]!r}, expected one of {[choice.__name__ for choice in choices]}")
    return _read(next(choice for choice in choices if choice is not type(None)), value, place)


def _read_record(kind: type, value: dict[str, Any], place: str) -> Any:
    hints = get_type_hints(kind)
    known = {item.name for item in fields(kind)}
    required = {item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING}
    unknown, missing = set(value) - known - {TAG}, required - set(value)
    if unknown or missing:
        told = [f"unknown {sorted(unknown)}"] * bool(unknown) + [f"missing {sorted(missing)}"] * bool(missing)
        raise ValueError(f"{place}: {', '.join(told)}")
    return kind(**{name: _read(hints[name], value[name], f"{place}.{name}") for name in known & set(value)})


def _expect(value: Any, kind: type | tuple[type, ...], place: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        expected = kind.__name__ if isinstance(kind, type) else " or ".join(item.__name__ for item in kind)
        raise ValueError(f"{place} is {value!r}, expected {expected}")
    return value
