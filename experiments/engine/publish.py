"""Makes an ablation's result available in its own folder, and in its run of the tracker."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from evaluation.scores import Score
from experiments.engine.manifest import git_diff
from experiments.schema.experiment import ExperimentConfig
from experiments.shards import QUARANTINE_FILE
from experiments.stages.evaluation import SCORES_FILE
from experiments.stages.generation import GALLERY_FOLDER
from experiments.stages.plan import StagePlan
from experiments.stages.report import MANIFEST_FILE, REPORT_FILE
from experiments.tracker import Tracker
from lightning_modules.checkpoints.find import RECORD_FILE, record_models
from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_bytes, atomic_write_text, read_json
from modalities.storage.serialization import to_plain


def publish_report(config: ExperimentConfig, plan: StagePlan, reused: Iterable[str], wall_seconds: float) -> Path:
    """Copy the report stage's result to the ablation's folder, and write the record of where its models are.

    Raises:
        DataError: Something cannot be written.
    """
    folder, source = plan.root / config.name, plan.folder("report")
    for name in (REPORT_FILE, SCORES_FILE):
        atomic_write_bytes(folder / name, (source / name).read_bytes())
    gallery = folder / GALLERY_FOLDER
    try:
        shutil.rmtree(gallery, ignore_errors=True)
        if (source / GALLERY_FOLDER).is_dir():
            shutil.copytree(source / GALLERY_FOLDER, gallery)
    except OSError as error:
        raise DataError(f"{gallery} cannot be written: {error.strerror or error}.") from error
    publish_quarantine(plan, folder / QUARANTINE_FILE)
    _write_record(folder, config, plan, set(reused), wall_seconds)
    return folder


def publish_quarantine(plan: StagePlan, target: Path) -> None:
    """Put the samples that the data stages have left out and listed into one file; none if they have listed none."""
    listed = [plan.folder(stage.name) / QUARANTINE_FILE for stage in plan.stages_of_kind("data")]
    content = b"".join(path.read_bytes() for path in listed if path.is_file())
    if content:
        atomic_write_bytes(target, content)
    else:
        target.unlink(missing_ok=True)


def _write_record(
    folder: Path, config: ExperimentConfig, plan: StagePlan, reused: set[str], wall_seconds: float
) -> None:
    """Write what other commands need to find the models, by paths relative to the record's folder."""
    models = {
        f"{stage.run_args['arm']}/{stage.run_args['seed']}": plan.folder(stage.name)
        for stage in plan.stages_of_kind("model")
    }
    stages = []
    for name, stage in plan.stages.items():
        done = plan.metadata(name)
        times = {"start": done["started"], "seconds": done["seconds"], "reused": name in reused}
        stages.append({"kind": stage.kind, "name": name, **times})
    content = {
        "name": config.name,
        "config": to_plain(config),
        "models": record_models(folder, models),
        "stages": stages,
        "manifest": read_json(plan.folder("report") / MANIFEST_FILE),
        "wall_seconds": wall_seconds,
    }
    atomic_write_text(folder / RECORD_FILE, json.dumps(content, indent=1) + "\n")


def log_report(tracker: Tracker, run_id: str | None, folder: Path, plan: StagePlan, scores: Iterable[Score]) -> None:
    """Store the report, the scores and the manifest in the ablation's run of the tracker."""
    for path in (
        folder / REPORT_FILE,
        folder / SCORES_FILE,
        folder / RECORD_FILE,
        plan.folder("report") / MANIFEST_FILE,
    ):
        tracker.log_file(run_id, path)
    if run_id is not None and (diff := git_diff()):
        tracker.log_text(run_id, "uncommitted.diff", diff)
    values = {
        f"{score.arm}/{score.seed}/{score.tracking_name}": score.value for score in scores if score.seed is not None
    }
    tracker.log_metrics(run_id, values)
