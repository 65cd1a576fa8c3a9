"""Conversion of frozen dataclasses to plain JSON values and back, with errors that name the field.

A field whose type is a union of dataclasses needs to say in JSON which of them it holds: each declares
``type_tag: ClassVar[str]``. The tag is a stable string, so that renaming a class changes neither files nor signatures.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

TYPE_KEY = "type"
"""Key of the class's tag, for fields that can be of several classes."""


def to_plain(value: Any) -> Any:
    """Convert ``value`` to JSON types: dataclasses to objects (with their tag, if any), enums to values."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        tag = _type_tag(type(value))
        content = {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
        return content if tag is None else {TYPE_KEY: tag, **content}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T] | types.UnionType, value: Any) -> T:
    """Build the value of type ``cls`` that `to_plain` converted. Missing fields take their defaults.

    Raises:
        ValueError: A field without a default is missing, a field is unknown, or its value is of another type; the
            message names it.
    """
    return cast(T, _parse_value(cls, value, getattr(cls, "__name__", str(cls))))


def find_differences(expected: Any, found: Any, path: str = "", *, ignored: Sequence[str] = ()) -> list[str]:
    """One sentence for each place where two plain values differ, keys named ``ignored`` aside."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        keys = sorted({*expected, *found} - {*ignored})
        pairs = [(f"{path}.{key}" if path else str(key), expected.get(key), found.get(key)) for key in keys]
    elif _are_objects(expected) and _are_objects(found) and len(expected) == len(found):
        pairs = [(f"{path}[{number}]", *pair) for number, pair in enumerate(zip(expected, found, strict=True))]
    else:
        return [] if expected == found else [f"{path} is {found!r}, expected {expected!r}"]
    return [line for key, ours, theirs in pairs for line in find_differences(ours, theirs, key, ignored=ignored)]


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _type_tag(cls: type) -> str | None:
    """The tag that the class itself declares; a subclass is another class and needs its own."""
    return cls.__dict__.get("type_tag")


def _parse_value(hint: Any, value: Any, path: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _parse_union(get_args(hint), value, path)
    if origin is tuple:
        return tuple(_parse_value(get_args(hint)[0], item, path) for item in _check_type(value, (list, tuple), path))
    if origin is list:
        return [_parse_value(get_args(hint)[0], item, path) for item in _check_type(value, list, path)]
    if origin is dict:
        items = _check_type(value, dict, path)
        return {key: _parse_value(get_args(hint)[1], item, f"{path}.{key}") for key, item in items.items()}
    if is_dataclass(hint):
        return _parse_dataclass(cast(type, hint), _check_type(value, dict, path), path)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"{path} is {value!r}, expected one of {[item.value for item in hint]}") from None
    if hint is float and type(value) is int:
        return float(value)
    return _check_type(value, hint, path)


def _parse_union(choices: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in choices:
        return None
    records = [choice for choice in choices if is_dataclass(choice)]
    if len(records) > 1 and isinstance(value, dict):
        tags = {_type_tag(cast(type, choice)): choice for choice in records}
        assert None not in tags, f"{path}: every class of {records} needs a type_tag of its own"
        if value.get(TYPE_KEY) not in tags:
            raise ValueError(f"{path} is a {value.get(TYPE_KEY)!r}, expected one of {list(tags)}")
        return _parse_value(tags[value[TYPE_KEY]], value, path)
    return _parse_value(next(choice for choice in choices if choice is not type(None)), value, path)


def _parse_dataclass(cls: type, value: dict[str, Any], path: str) -> Any:
    hints = get_type_hints(cls)
    known = {item.name for item in fields(cls)}
    required = {item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING}
    allowed = known | {TYPE_KEY} if _type_tag(cls) else known
    unknown, missing = set(value) - allowed, required - set(value)
    if unknown or missing:
        problems = [f"unknown {sorted(unknown)}"] * bool(unknown) + [f"missing {sorted(missing)}"] * bool(missing)
        raise ValueError(f"{path}: {', '.join(problems)}")
    return cls(**{name: _parse_value(hints[name], value[name], f"{path}.{name}") for name in known & set(value)})


def _check_type(value: Any, cls: type | tuple[type, ...], path: str) -> Any:
    if not isinstance(value, cls) or (cls is int and isinstance(value, bool)):
        expected = cls.__name__ if isinstance(cls, type) else " or ".join(item.__name__ for item in cls)
        raise ValueError(f"{path} is {value!r}, expected {expected}")
    return value
