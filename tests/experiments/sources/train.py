"""The whole way from a source to a report, on the command line, with tiny amounts."""

from pathlib import Path
from typing import Any

from experiments.cli.main import main
from tests.experiments.miniature import SMALL_OVERRIDES

TINY = {key: value for key, value in SMALL_OVERRIDES.items() if not key.startswith("tokenizer_training.steps")} | {
    "data.train": "16",
    "data.validation": "4",
    "data.shard": "8",
    "training.pictures_every": "0",
    "evaluation.num_generated": "0",
    "evaluation.num_pictures": "1",
    "tracking.uri": "none",
    "arms": "{all: [rgb, depth, caption]}",
    "evaluation.routes": "{rgb: []}",
}
"""Overrides of a shipped config; its own sizes otherwise."""


def train_to_report(config: str, root: Path, **changes: Any) -> str:
    """The report of a tiny ablation; ``a__b=c`` stands for ``a.b=c``, and None takes an override away."""
    overrides: dict[str, Any] = {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}}
    words = [f"{key}={value}" for key, value in overrides.items() if value is not None]
    assert main(["ablate", config, f"root={root}", *words]) == 0
    return (root / "mini" / "report.html").read_text()
