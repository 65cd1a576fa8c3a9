"""The layers point one way, and each wall keeps what it must."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("modalities", "networks", "lightning_modules", "evaluation", "experiments")


def _files(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("layer", LAYERS)
def test_no_import_points_up(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    found = [
        f"{p.relative_to(ROOT)}:{n} {m}" for p in _files(layer) for n, m in _imports(p) if m.split(".")[0] in above
    ]
    assert not found


def test_only_tracking_knows_mlflow() -> None:
    found = [
        path.name
        for layer in LAYERS
        for path in _files(layer)
        if any(m.split(".")[0] == "mlflow" for _, m in _imports(path))
    ]
    assert set(found) == {"tracking.py"}


@pytest.mark.parametrize("layer", ["modalities", "networks"])
def test_lightning_stays_out_of_what_lies_below_training(layer: str) -> None:
    assert not [path for path in _files(layer) if any(m.split(".")[0] == "lightning" for _, m in _imports(path))]


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_prints(layer: str) -> None:
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _files(layer)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls


@pytest.mark.parametrize("layer", LAYERS)
def test_every_file_is_read_in_one_sitting(layer: str) -> None:
    assert not [f"{p.relative_to(ROOT)} {n}" for p in _files(layer) if (n := len(p.read_text().splitlines())) > 300]
