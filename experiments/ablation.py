"""An ablation from its config to its result: plan, run the missing stages, publish the report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning import Callback

from evaluation.scores import Score
from experiments.engine.observer import RunObserver, SilentObserver
from experiments.engine.publish import log_report, publish_report
from experiments.engine.run import PlannedRun, execute
from experiments.planning import build_stage_plan
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities, check_names, flatten_config
from experiments.stages.context import user_log
from experiments.stages.report import REPORT_FILE
from experiments.stages.summaries import collect_scores
from experiments.tracking import open_tracker, tracking_uri
from lightning_modules.checkpoints.export_published import export_limits
from modalities.registry import Registry, default_registry
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """The scores of an ablation, and where its files are."""

    folder: Path
    """The ablation's folder, with the report, the scores and the record of the models."""
    report: Path
    scores: tuple[Score, ...]
    """One record a figure: round trips of the tokenizers first, then every arm and seed."""
    modalities: Mapping[str, Modality]
    """Of all arms, at the run's scale."""
    uri: str
    """Tracking URI."""
    seconds: float
    """Wall time of this call."""


def run_ablation(
    config: ExperimentConfig,
    *,
    registry: Registry | None = None,
    callbacks: Sequence[Callback] = (),
    observer: RunObserver | None = None,
    command: str = "",
) -> AblationResult:
    """Run the stages of an ablation that are not done yet, the report among them.

    Args:
        registry: Where modalities come from; everything built in and installed, if None.
        callbacks: Lightning callbacks for the Trainer of each model. They do not decide a result: a model that is
            trained already is not trained again for them.
        observer: Receives the run's events.
        command: The command line that the report shows as its origin.

    Raises:
        UserError: A modality is unknown, a stage failed, or nothing can be written.
    """
    started_at = time.time()
    registry = registry or default_registry()
    check_names(config, registry)
    modalities = build_modalities(config, registry)
    plan = build_stage_plan(config, modalities, command)
    _warn_of_export_limits(config)
    run = PlannedRun(
        config=config,
        plan=plan,
        registry=registry,
        callbacks=callbacks,
        started_at=started_at,
        reused=tuple(name for name in plan.stages if plan.is_done(name)),
    )
    uri = tracking_uri(plan.root, config.tracking.uri)
    tracker = open_tracker(uri, plan.root, config.tracking.experiment)
    with tracker.open_run(config.name, {"fourm.stage": "ablation"}, flatten_config(config)) as parent_run:
        execute(run, tracker, parent_run, observer or SilentObserver())
        seconds = time.time() - started_at
        folder = publish_report(config, plan, run.reused, seconds)
        scores = tuple(collect_scores(run.task(plan.stages["report"])))
        log_report(tracker, parent_run, folder, plan, scores)
    return AblationResult(
        folder=folder,
        report=folder / REPORT_FILE,
        scores=scores,
        modalities=modalities,
        uri=uri,
        seconds=seconds,
    )


def _warn_of_export_limits(config: ExperimentConfig) -> None:
    """Say before training which settings will keep its models from being exported."""
    for limit in export_limits(config.model):
        user_log.warning("%s", limit)
