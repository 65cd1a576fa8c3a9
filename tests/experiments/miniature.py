"""The quickstart's ablation with tiny amounts: everything is exercised, nothing is learnt."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.cli.main import main

ROOT = Path(__file__).parents[2]

SMALL_OVERRIDES = {
    "name": "mini",
    "seeds": "[0]",
    "scale.size": "32",
    "data.train": "24",
    "data.validation": "8",
    "data.shard": "12",
    "tokenizer_optim.steps": "2",
    "tokenizer_optim.warmup_steps": "1",
    "tokenizer_training.steps.dinov2_global": "2",
    "tokenizer_training.steps.imagebind_global": "2",
    "tokenizer_training.batch_size": "4",
    "optim.total_tokens": "1920",
    "optim.warmup_tokens": "640",
    "training.batch_size": "4",
    "training.val_every": "1",
    "training.val_batches": "1",
    "training.log_every": "1",
    "training.pictures_every": "2",
    "evaluation.num_samples": "4",
    "evaluation.num_sequences": "2",
    "evaluation.num_chance": "16",
    "evaluation.max_tokens": "24",
    "evaluation.num_pictures": "2",
    "evaluation.num_generated": "2",
    "evaluation.resamples": "20",
    "executor.workers": "0",
    "executor.threads": "1",
}
"""Three steps of a nano model on 24 scenes of 32 pixels; tokenizers of two steps."""


def command_line(root: Path, **changes: Any) -> list[str]:
    """The command line of a miniature below ``root``; ``a__b=c`` stands for ``a.b=c``."""
    overrides = {**SMALL_OVERRIDES, **{key.replace("__", "."): str(value) for key, value in changes.items()}}
    return ["ablate", "quickstart", f"root={root}", *[f"{key}={value}" for key, value in overrides.items()]]


def ablate(root: Path, **changes: Any) -> int:
    """Run a miniature through the command line, in this process; answers with the exit status."""
    return main(command_line(root, **changes))


def start_process(arguments: list[str], **settings: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own, as a shell would start it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300", **settings.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def finished_stages(root: Path) -> dict[str, float]:
    """The stages that are done below ``root``, and when each was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (root / "stages").glob("*/done.json")}


def partial_files(root: Path) -> list[str]:
    """What looks half-written below ``root``."""
    return [str(path) for path in root.rglob(".*") if path.name.endswith((".partial", ".tmp"))]
