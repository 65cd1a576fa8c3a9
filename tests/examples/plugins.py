"""What the packages below examples/ publish."""

import importlib
import tomllib
from pathlib import Path

from modalities import Modality

EXAMPLES = Path(__file__).parents[2] / "examples"


def published_modalities(example: str) -> dict[str, Modality]:
    """The modalities in a package's entry points, by the name that they are published as."""
    project = tomllib.loads((EXAMPLES / example / "pyproject.toml").read_text())["project"]
    found = {}
    for name, target in project["entry-points"]["fourm.modalities"].items():
        module, _, attribute = target.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found
