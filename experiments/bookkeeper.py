"""Keeps the ledger and the display while stages run: each stage is a run, with what it has made for people to read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from evaluation.records import read_scores
from experiments.display import Display
from experiments.scheduler import Progress
from experiments.stages import Plan, Stage
from experiments.tracking import Ledger


@dataclass(kw_only=True)
class Bookkeeper:
    """Keeps the ledger and the display while stages run."""

    ledger: Ledger
    parent: str
    plan: Plan
    display: Display
    started_at: dict[str, float] = field(default_factory=dict)

    def started(self, stage: Stage) -> str | None:
        """Open the stage's run."""
        self.started_at[stage.name] = time.time()
        tags = {"fourm.signature": self.plan.signatures[stage.name], "fourm.stage": stage.kind}
        return self.ledger.start(stage.name, parent=self.parent, tags=tags, params=_short(stage.details)) or None

    def moved(self, running: Mapping[str, Progress], done: int, total: int) -> None:
        """Show it."""
        self.display.moved(running, done, total)

    def ended(self, stage: Stage, folder: Path, run: str | None, error: str | None) -> None:
        """Close the stage's run, with what it has made that a person reads."""
        seconds = time.time() - self.started_at[stage.name]
        self.display.ended(stage, seconds, error)
        if run is None:
            return
        if error is None:
            _store(self.ledger, run, stage, folder, seconds)
        self.ledger.finish(run, failed=error is not None)


def _store(ledger: Ledger, run: str, stage: Stage, folder: Path, seconds: float) -> None:
    ledger.metrics(run, {"seconds": seconds})
    match stage.kind:
        case "tokenizer":
            for name in ("card.json", "card.md", "config.json"):
                ledger.file(run, folder / name)
        case "model":
            for name in ("config.json", "model.safetensors", "card.json"):
                ledger.file(run, folder / name)
        case "evaluation":
            ledger.file(run, folder / "scores.json")
            scores = read_scores(folder / "scores.json")
            ledger.metrics(run, {f"{s.route}/{s.target}/{s.metric}".replace("->", "-to-"): s.value for s in scores})
        case "generation":
            for path in sorted(folder.glob("*.png")):
                with Image.open(path) as picture:
                    ledger.picture(run, path.stem, picture, step=0)
        case "baselines":
            ledger.file(run, folder / "baselines.json")


def _short(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if not isinstance(value, Mapping)}
