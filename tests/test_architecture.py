"""The layers point one way, and every package, folder and file keeps within its limits; there are no exceptions."""

import ast
import graphlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("modalities", "networks", "lightning_modules", "evaluation", "experiments", "fourm_lab")
FACES = ("modalities", "fourm_lab")
"""Packages whose ``__init__`` offers names of the modules below it; every other name has one path, its own module's."""

MAX_LINES, MAX_FUNCTION, MAX_FILES, MAX_IMPORTS = 300, 50, 16, 14


@cache
def _files() -> tuple[Path, ...]:
    return tuple(path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _modules() -> dict[str, Path]:
    return {_module(path): path for path in _files()}


def _imports(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Line, module and name of everything that a file imports, wherever in it; no name for ``import module``."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def _own_imports(path: Path) -> set[str]:
    """Modules of ours that a file imports; ``from package import module`` is an import of the module."""
    found = {f"{m}.{n}" if f"{m}.{n}" in _modules() else m for _, m, n in _imports(path)}
    return found & set(_modules())


def _importers(name: str) -> set[str]:
    return {
        str(path.relative_to(ROOT)) for path in _files() if any(m.split(".")[0] == name for _, m, _ in _imports(path))
    }


def _defined(module: str) -> set[str]:
    """Names that a module binds at its top level by other means than an import."""
    found: set[str] = set()
    for node in ast.walk(_tree(_modules()[module])):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_no_import_points_up(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    found = [
        f"{_module(path)} imports {m}" for path in _files() for m in _own_imports(path) if m.split(".")[0] in above
    ]
    assert not [item for item in found if item.startswith((f"{layer}.", f"{layer} "))]


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: _own_imports(path) for module, path in _modules().items()}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle.


def test_no_folder_holds_more_than_a_person_keeps_in_mind() -> None:
    folders = {path.parent for path in _files()}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {name for name, count in counts.items() if count > MAX_FILES} == {"modalities/builtin"}


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    listed: set[str] = set()
    stack: list[str] = []
    block = (ROOT / "docs" / "design.md").read_text().partition("## The house")[2].partition("| package |")[0]
    for indent, name in re.findall(r"^    ( *)([a-z_]+)/  ", block, re.MULTILINE):
        stack = [*stack[: len(indent) // 2], name]
        listed.add("/".join(stack))
    rooms = {str(path.parent.relative_to(ROOT)) for path in _files()} | {"experiments/configs"}
    assert listed == rooms


def test_no_file_imports_half_of_the_house() -> None:
    counts = {str(path.relative_to(ROOT)): len(_own_imports(path)) for path in _files()}
    assert not {name for name, count in counts.items() if count > MAX_IMPORTS}


def test_every_name_has_one_import_path() -> None:
    """A name comes from the module that defines it, or from one of the faces."""
    places = [*_files(), *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    found = set()
    for path in places:
        for _, module, name in _imports(path):
            if name is None or module not in _modules() or module in FACES or f"{module}.{name}" in _modules():
                continue
            if name not in _defined(module):
                found.add(f"{path.relative_to(ROOT)}: {name} from {module}")
    assert not found


def test_no_modality_is_named_outside_its_file_the_presets_and_the_gallery() -> None:
    """What code does with a modality follows from what the modality declares, so that a plug-in is treated alike."""
    names = {path.stem for path in (ROOT / "modalities" / "builtin").glob("*.py")} - {"__init__"}
    names |= {f"{name}_pixels" for name in names}
    allowed = ("modalities/", "networks/pretrained/", "lightning_modules/inference/gallery/")
    found = {
        str(path.relative_to(ROOT))
        for path in _files()
        if not str(path.relative_to(ROOT)).startswith(allowed)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert not found


def test_only_tracking_imports_mlflow() -> None:
    assert _importers("mlflow") == {"experiments/tracking.py"}


def test_lightning_stays_out_of_the_layers_below_training() -> None:
    assert not [name for name in _importers("lightning") if name.split("/")[0] in ("modalities", "networks")]


def test_private_operators_of_torch_are_called_in_one_file() -> None:
    found = set()
    for path in _files():
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Attribute):
                dotted = ast.unparse(node)
                is_backend = dotted.startswith(("torch.ops.", "torch.backends._"))
                if is_backend or (
                    dotted.startswith("torch.") and any(w.startswith("_") for w in dotted.split(".")[1:])
                ):
                    found.add(str(path.relative_to(ROOT)))
    assert len(found) <= 1, found


def test_nothing_prints() -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _files()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def test_every_file_is_read_in_one_sitting() -> None:
    counts = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _files()}
    assert {name: count for name, count in counts.items() if count > MAX_LINES} == {}


def test_every_function_does_one_step() -> None:
    counts = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in _files()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name for name, count in counts.items() if count > MAX_FUNCTION}
