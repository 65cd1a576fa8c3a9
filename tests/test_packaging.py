"""The distribution: which names it installs, and what an editable install makes importable."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.test_architecture import LAYERS

ROOT = Path(__file__).parent.parent
HATCH = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]


def test_the_distribution_installs_the_layers() -> None:
    assert HATCH["targets"]["wheel"]["packages"] == list(LAYERS)


def test_an_editable_install_makes_the_layers_importable_and_nothing_else(tmp_path: Path) -> None:
    (folder,) = HATCH["dev-mode-dirs"]
    assert {link.name: link.resolve() for link in (ROOT / folder).iterdir()} == {n: ROOT / n for n in LAYERS}
    # A folder of this name is found first, but it is no package: what is installed wins. Python runs without this
    # environment's own packages (-S), among which the repository may be installed already.
    (tmp_path / "experiments").mkdir()
    names = [*LAYERS, "tests", "benchmarks", "docs"]
    program = (
        f"import sys; from importlib.util import find_spec; sys.path.append({str(ROOT / folder)!r})\n"
        f"print([name for name in {names!r} if (spec := find_spec(name)) and {str(ROOT)!r} in (spec.origin or '')])"
    )
    found = subprocess.run([sys.executable, "-S", "-c", program], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert found.stdout.strip() == str(list(LAYERS)), found.stderr


def test_ci_runs_what_a_change_has_to_pass() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make check"
    makefile = (ROOT / "Makefile").read_text()
    assert "\ncheck: lint types test\n" in makefile
    assert f"CODE := {' '.join(LAYERS)} tests benchmarks\n" in makefile
