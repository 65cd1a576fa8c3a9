"""Metadata of config fields that the loader reads.

``{"names": "modality"}``: every text in the field's value, keys included, is the name of a modality.
``{"merge": "replace"}``: a mapping given by the user replaces the default one instead of being merged into it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def replaced_settings(cls: Any, prefix: str = "") -> Iterator[str]:
    """Paths of the mappings that a user's replace, by the fields' metadata: ``{"merge": "replace"}``."""
    for item in fields(cls):
        if item.metadata.get("merge") == "replace":
            yield prefix + item.name
        elif isinstance(item.default_factory, type) and is_dataclass(item.default_factory):
            yield from replaced_settings(item.default_factory, f"{prefix}{item.name}.")


def settings_of_names(config: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Path, kind of name and value of every field whose metadata say that it holds names."""
    for item in fields(config):
        value = getattr(config, item.name)
        if "names" in item.metadata:
            yield prefix + item.name, item.metadata["names"], value
        elif is_dataclass(value):
            yield from settings_of_names(value, f"{prefix}{item.name}.")


def names_in(value: Any) -> Iterator[str]:
    """Every text in a value: keys and values of mappings, items of lists, and of records the fields that hold names."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield from (key, *names_in(item))
        case list():
            for item in value:
                yield from names_in(item)
        case _ if is_dataclass(value):
            for _, _, names in settings_of_names(value):
                yield from names_in(names)
