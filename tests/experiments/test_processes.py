"""Processes that are started find this distribution's packages, whatever lies in the working folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.processes import CODE_ROOT, child_environment, child_search_path, spawning
from tests.experiments.miniature import command_line

SCRIPT = """
import sys
from experiments.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""
DECOY = "raise RuntimeError('this is the package of the working folder')\n"


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A working folder with packages of our names."""
    folder = tmp_path / "work"
    for name in ("experiments", "modalities", "evaluation", "networks", "mlflow"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(DECOY)
    return folder


def test_the_working_folder_comes_last(decoys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(decoys)
    monkeypatch.setattr(sys, "path", ["", "/a", str(decoys), str(CODE_ROOT)])
    assert child_search_path() == ["/a", str(CODE_ROOT), str(decoys)]
    with spawning():
        assert sys.path == ["/a", str(CODE_ROOT), str(decoys)]
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert sys.path == ["", "/a", str(decoys), str(CODE_ROOT)]


def test_the_checkout_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CODE_ROOT)
    monkeypatch.setattr(sys, "path", ["", "/a"])
    assert child_search_path() == [str(CODE_ROOT), "/a"]


def test_a_module_that_is_run_is_not_the_working_folders(decoys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(decoys)
    command = [sys.executable, "-m", "experiments.cli", "--help"]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "ablate" in done.stdout


def test_two_devices_and_workers_train_in_a_folder_with_packages_of_our_names(decoys: Path, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "fourm"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    changes = {
        "arms__fourm_7": "[rgb,semseg]",
        "arms__fourm_21": "[rgb,semseg]",
        "executor__workers": 1,
        "executor__devices": 2,
        "evaluation__num_generated": 0,
        "training__pictures_every": 0,
    }
    arguments = command_line(tmp_path / "runs", tracking__uri="none", **changes)
    environment = {**os.environ, "PYTHONPATH": str(CODE_ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=decoys,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs" / "stages").glob("model-*"))) == 2
