"""Records stages of the tracked kinds as runs of the tracker, and passes every event on to the observer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from experiments.engine.observer import RunObserver, StageProgress
from experiments.stage_kinds import STAGE_KINDS
from experiments.stages.plan import Stage, StagePlan
from experiments.tracker import Tracker


@dataclass(kw_only=True)
class RunRecorder:
    """Listener of the scheduler that writes to the tracker and passes events on to the observer."""

    tracker: Tracker
    parent_run: str | None
    plan: StagePlan
    observer: RunObserver
    start_times: dict[str, float] = field(default_factory=dict)

    def on_stage_start(self, stage: Stage) -> str | None:
        """Open the stage's run, if stages of its kind are runs of the tracker."""
        self.start_times[stage.name] = time.time()
        if not STAGE_KINDS[stage.kind].is_tracked:
            return None
        return self.tracker.start_run(
            stage.name,
            parent_run=self.parent_run,
            tags={"fourm.signature": self.plan.signatures[stage.name], "fourm.stage": stage.kind},
            params={name: value for name, value in stage.run_args.items() if not isinstance(value, Mapping)},
        )

    def on_progress(self, running: Mapping[str, StageProgress], done: int, total: int) -> None:
        """Pass progress on."""
        self.observer.on_progress(running, done, total)

    def on_stage_end(self, stage: Stage, folder: Path, run_id: str | None, error: str | None) -> None:
        """Close the stage's run, with the artifacts of its kind."""
        seconds = time.time() - self.start_times[stage.name]
        self.observer.on_stage_end(stage, seconds, error)
        if run_id is None:
            return
        if error is None:
            self.tracker.log_metrics(run_id, {"seconds": seconds})
            log_result(self.tracker, run_id, stage, folder)
        self.tracker.finish_run(run_id, failed=error is not None)


def log_result(tracker: Tracker, run_id: str, stage: Stage, folder: Path) -> None:
    """Store everything of a finished stage that its kind wants the tracker to keep."""
    kind = STAGE_KINDS[stage.kind]
    for name in kind.artifacts:
        # A model without learned tokenizers has no folder of them.
        if (folder / name).exists():
            tracker.log_file(run_id, folder / name, kind.artifact_folder)
    if values := kind.metrics(folder):
        tracker.log_metrics(run_id, values)
    for path in kind.pictures(folder):
        with Image.open(path) as picture:
            tracker.log_image(run_id, path.stem, picture, step=0)
