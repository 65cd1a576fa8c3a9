"""The published B size with 21 modalities, its real vocabularies and random weights, is imported in little memory."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.import_checkpoint import write_checkpoint

ROOT = Path(__file__).parents[2]


def test_a_b_size_checkpoint_of_21_modalities_is_imported_in_less_than_8_gigabytes(tmp_path: Path) -> None:
    weights, out = tmp_path / "model.safetensors", tmp_path / "out"
    try:
        assert write_checkpoint(weights) == 834_404_352
        command = [sys.executable, "-m", "benchmarks.import_checkpoint", str(tmp_path), str(out)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
        assert told["peak"] < 8
        assert (out / "model.safetensors").stat().st_size > 3.3e9
        assert "non-commercial" in (out / "card.json").read_text()
    finally:
        for path in (weights, out / "model.safetensors"):
            path.unlink(missing_ok=True)
