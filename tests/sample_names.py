"""Forty public names at random, each with its path and nothing else: can a stranger say what each one is?

python -m tests.sample_names [SEED]
"""

import ast
import random
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("modalities", "networks", "lightning_modules", "evaluation", "experiments", "fourm_lab")
COUNT = 40


def public_names() -> list[tuple[str, str]]:
    """Path and name of every public class, function and method of the packages, in order."""
    names: list[tuple[str, str]] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    names.append((place, node.name))
                    names += [(place, f"{node.name}.{method}") for method in _methods(node)]
    return names


def _methods(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return []
    return [item.name for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    for place, name in sorted(random.Random(seed).sample(public_names(), COUNT)):
        sys.stdout.write(f"{place}: {name}\n")
