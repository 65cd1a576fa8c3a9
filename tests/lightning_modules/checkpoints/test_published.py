"""A repository of the hub, from a cache on the disk and without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("huggingface_hub", reason="huggingface_hub is an optional extra")

ROOT = Path(__file__).parents[3]
READ = """
import sys
from lightning_modules.checkpoints.published import open_checkpoint
from modalities.errors import CheckpointError
try:
    source = open_checkpoint(sys.argv[1])
except CheckpointError as error:
    sys.stdout.write(f"refused: {error}")
else:
    sys.stdout.write(f"{source.config['codebook_size']} {source.tensors['weight'].tolist()}")
"""


def read(repository: str, cache: Path) -> str:
    """What a fresh process without a network makes of a repository."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    command = [sys.executable, "-c", READ, repository]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_a_repository_in_the_cache_is_read(tmp_path: Path) -> None:
    commit = "a" * 40
    repository = tmp_path / "models--team--tiny"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    save_file({"weight": torch.arange(3.0)}, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text(json.dumps({"codebook_size": 8, "latent_dim": 4}))
    assert read("team/tiny", tmp_path) == "8 [0.0, 1.0, 2.0]"


def test_a_repository_that_is_nowhere_is_one_line(tmp_path: Path) -> None:
    said = read("team/gone", tmp_path)
    assert said.startswith("refused: There is no file or folder team/gone, and the hub did not give it: ")
    assert "\n" not in said
