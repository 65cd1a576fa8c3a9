"""Every setting with its default and its meaning."""

import ast
import inspect
import textwrap
from dataclasses import fields, is_dataclass
from enum import Enum

from experiments.schema.experiment import ExperimentConfig


def describe_settings(kind: type = ExperimentConfig, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every setting as (key, default, meaning), for ``--help``."""
    docs = field_docs(kind)
    rows: list[tuple[str, str, str]] = []
    defaults = kind()
    for item in fields(kind):
        value = getattr(defaults, item.name)
        if is_dataclass(value):
            rows += describe_settings(type(value), f"{prefix}{item.name}.")
        else:
            rows.append((prefix + item.name, str(getattr(value, "value", value)), _meaning(docs.get(item.name), value)))
    return rows


def _meaning(doc: str | None, value: object) -> str:
    """A setting's docstring, and its choices where it has some."""
    choices = f"One of {', '.join(str(choice.value) for choice in type(value))}." if isinstance(value, Enum) else ""
    return " ".join(filter(None, (doc, choices)))


def field_docs(kind: type) -> dict[str, str]:
    """The sentence below each field of a dataclass and its bases, from their source."""
    docs: dict[str, str] = {}
    for parent in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(parent))).body[0]
        assert isinstance(body, ast.ClassDef)
        for first, second in zip(body.body, body.body[1:], strict=False):
            if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name) and isinstance(second, ast.Expr):
                docs[first.target.id] = " ".join(str(ast.literal_eval(second.value)).split())
    return docs
