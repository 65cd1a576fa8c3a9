"""Keeps the tracker and the display while stages run: each stage is a run, with what it has made for people to read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from evaluation.scores import read_scores
from experiments.engine.display import ProgressDisplay
from experiments.engine.scheduler import StageProgress
from experiments.stages.plan import Stage, StagePlan
from experiments.tracking import Tracker


@dataclass(kw_only=True)
class RunRecorder:
    """Keeps the tracker and the display while stages run."""

    tracker: Tracker
    parent_run: str
    plan: StagePlan
    display: ProgressDisplay
    start_times: dict[str, float] = field(default_factory=dict)

    def on_stage_start(self, stage: Stage) -> str | None:
        """Open the stage's run."""
        self.start_times[stage.name] = time.time()
        tags = {"fourm.signature": self.plan.signatures[stage.name], "fourm.stage": stage.kind}
        return (
            self.tracker.start_run(
                stage.name, parent_run=self.parent_run, tags=tags, params=_scalar_args(stage.run_args)
            )
            or None
        )

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Show it."""
        self.display.show_progress(running, done, total)

    def on_stage_end(self, stage: Stage, folder: Path, run_id: str | None, error: str | None) -> None:
        """Close the stage's run, with what it has made that a person reads."""
        seconds = time.time() - self.start_times[stage.name]
        self.display.show_stage_end(stage, seconds, error)
        if run_id is None:
            return
        if error is None:
            _log_artifacts(self.tracker, run_id, stage, folder, seconds)
        self.tracker.finish_run(run_id, failed=error is not None)


def _log_artifacts(tracker: Tracker, run_id: str, stage: Stage, folder: Path, seconds: float) -> None:
    tracker.log_metrics(run_id, {"seconds": seconds})
    match stage.kind:
        case "tokenizer":
            for name in ("card.json", "card.md", "config.json"):
                tracker.log_file(run_id, folder / name)
        case "model":
            for name in ("config.json", "model.safetensors", "card.json"):
                tracker.log_file(run_id, folder / name)
        case "evaluation":
            tracker.log_file(run_id, folder / "scores.json")
            scores = read_scores(folder / "scores.json")
            tracker.log_metrics(run_id, {score.tracking_name: score.value for score in scores})
        case "generation":
            for path in sorted(folder.glob("*.png")):
                with Image.open(path) as picture:
                    tracker.log_image(run_id, path.stem, picture, step=0)
        case "baselines":
            tracker.log_file(run_id, folder / "baselines.json")


def _scalar_args(run_args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run_args.items() if not isinstance(value, Mapping)}
