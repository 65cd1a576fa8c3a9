"""An ablation from its config to its report: plan, tracking, run, compare."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from evaluation.references.round_trip import ReferenceLevels
from evaluation.report.input import LossCurve, ReportInput, StageDuration, TokenizerSummary
from evaluation.report.page import summary_table, write_report
from evaluation.report.sheets import comparison_sheets
from evaluation.scores import Score, read_scores
from experiments.engine.display import ProgressDisplay
from experiments.engine.manifest import PeakMemoryMonitor, git_diff, run_manifest
from experiments.engine.recorder import RunRecorder
from experiments.engine.scheduler import run_plan
from experiments.engine.task import user_log
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities, check_names, flatten_config
from experiments.stages.context import StageContext, build_codec, open_eval_split, open_raw_split
from experiments.stages.generation import load_galleries, write_galleries
from experiments.stages.plan import Stage, StagePlan
from experiments.stages.planning import build_stage_plan
from experiments.tracking import Tracker, open_tracker, tracking_uri
from lightning_modules.checkpoints.export_published import export_limits
from lightning_modules.checkpoints.find import RECORD_FILE, record_models
from lightning_modules.checkpoints.tokenizer import load_tokenizer
from modalities.registry import Registry, default_registry
from modalities.rendering.sheet import read_renderings
from modalities.sources.open import open_source
from modalities.spec import Modality, tokenizer_tasks
from modalities.storage.atomic import atomic_write_text
from modalities.storage.serialization import to_plain


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """Where an ablation's results are, and what a terminal shows of them."""

    folder: Path
    report: Path
    table: Any
    uri: str
    seconds: float


def run_ablation(
    config: ExperimentConfig, console: Console, command: str, registry: Registry | None = None
) -> AblationResult:
    """Run what is missing of an ablation, and write its report.

    Raises:
        UserError: A modality is unknown, a stage failed, or nothing can be written.
    """
    start_time = time.time()
    registry = registry or default_registry()
    check_names(config, registry)
    modalities = build_modalities(config, registry)
    plan = build_stage_plan(config, modalities)
    folder = plan.root / config.name
    for limit in export_limits(config.model):
        user_log.warning("%s", limit)
    uri = tracking_uri(plan.root, config.tracking.uri)
    tracker = open_tracker(uri, plan.root, config.tracking.experiment)
    reused = [name for name in plan.stages if plan.is_done(name)]
    parent_run = tracker.start_run(config.name, tags={"fourm.stage": "ablation"}, params=flatten_config(config))
    failed = True
    try:
        tracker.log_text(
            parent_run, "reused.json", json.dumps({name: plan.metadata(name).get("run") for name in reused}, indent=1)
        )
        with ProgressDisplay(console, plan) as display, PeakMemoryMonitor() as memory:
            display.show_reused(reused)
            recorder = RunRecorder(tracker=tracker, parent_run=parent_run, plan=plan, display=display)
            run_plan(config, plan, recorder, uri)
        metadata = {
            **run_manifest(),
            "seeds": ", ".join(map(str, config.seeds)),
            "peak memory": f"{memory.peak / 2**30:.2f} GiB",
            "command": command,
        }
        context = _read_only_context(config, plan, modalities)
        metadata["training data"] = open_raw_split(context, "train", list(modalities)[:1]).fingerprint
        elapsed = time.time() - start_time
        report = _build_report(config, plan, modalities, reused, metadata, elapsed)
        folder.mkdir(parents=True, exist_ok=True)
        write_galleries(plan, folder, report.generated)
        write_report(folder / "report.html", report)
        _write_record(folder, config, plan, metadata, report, elapsed)
        _log_results(tracker, parent_run, folder, report)
        failed = False
    finally:
        tracker.finish_run(parent_run, failed=failed)
    return AblationResult(
        folder=folder, report=folder / "report.html", table=summary_table(report), uri=uri, seconds=elapsed
    )


def _build_report(
    config: ExperimentConfig,
    plan: StagePlan,
    modalities: Mapping[str, Modality],
    reused: list[str],
    metadata: Mapping[str, str],
    elapsed: float,
) -> ReportInput:
    scores: list[Score] = list(ReferenceLevels.load(plan.folder("baselines")).scores)
    histories: list[LossCurve] = []
    models: dict[str, dict[str, str]] = {}
    predicted: dict[str, Any] = {}
    for stage in plan.stages_of_kind("evaluation"):
        arm, seed = stage.run_args["arm"], stage.run_args["seed"]
        scores += read_scores(plan.folder(stage.name) / "scores.json")
        model = plan.folder(f"model/{arm}/{seed}")
        histories += _loss_histories(model, arm, seed)
        models[arm] = _model_summary(model, plan.metadata(f"model/{arm}/{seed}")["seconds"])
        if arm not in predicted:
            predicted[arm] = read_renderings(plan.folder(stage.name) / "drawings.json")
    context = _read_only_context(config, plan, modalities)
    codec = build_codec(context, list(modalities))
    return ReportInput(
        title=config.name,
        command=metadata["command"],
        data=(
            f"{config.data.train} training and {config.data.validation} held-out {open_source(modalities).description} "
            f"of {config.scale.size} × {config.scale.size} pixels"
        ),
        arms={name: config.arm_modalities(name) for name in config.arms},
        seeds=config.seeds,
        modalities=modalities,
        scores=scores,
        histories=histories,
        tokenizers=_tokenizer_summaries(plan, modalities),
        sheets=comparison_sheets(
            codec, open_eval_split(context, "validation", list(modalities)), predicted, config.evaluation
        ),
        generated=load_galleries(config, plan),
        stages=_stage_times(plan, reused),
        models=models,
        manifest={name: value for name, value in metadata.items() if name != "command"},
        wall_seconds=elapsed,
        resamples=config.evaluation.resamples,
    )


def _read_only_context(config: ExperimentConfig, plan: StagePlan, modalities: Mapping[str, Modality]) -> StageContext:
    """A job that only reads, with every stage as its input."""
    stage = Stage(kind="report", name="report", params={})
    inputs = {name: plan.folder(name) for name in plan.stages}
    return StageContext(
        config=config,
        stage=stage,
        modalities=modalities,
        inputs=inputs,
        folder=plan.root,
        report_progress=lambda *_: None,
    )


def _loss_histories(folder: Path, arm: str, seed: int) -> list[LossCurve]:
    content = json.loads((folder / "history.json").read_text())
    return [
        LossCurve(arm=arm, seed=seed, name=name, points=tuple((float(step), float(value)) for step, value in points))
        for name, key in (("train", "train/loss"), ("val", "val/loss"))
        if (points := content.get(key))
    ]


def _model_summary(folder: Path, seconds: float) -> dict[str, str]:
    content = json.loads((folder / "facts.json").read_text())
    seconds += content.get("earlier_seconds", 0.0)
    return {
        "parameters": f"{content['parameters']:,}",
        "steps": f"{content['steps']:,}",
        "tokens seen": f"{content['tokens_seen']:,}",
        "tokens per second": f"{content['tokens_seen'] / max(seconds, 1e-9):,.0f}",
    }


def _tokenizer_summaries(plan: StagePlan, modalities: Mapping[str, Modality]) -> list[TokenizerSummary]:
    summaries: list[TokenizerSummary] = []
    for name, task in tokenizer_tasks(modalities).items():
        card = load_tokenizer(plan.folder(f"tokenizer/{name}"), task).card
        summaries.append(
            TokenizerSummary(
                name=name,
                members=task.members,
                vocab_size=task.tokenizer.vocab_size,
                num_tokens=task.layout.num_tokens,
                used=card.usage.used if card.usage else math.nan,
                perplexity=card.usage.perplexity if card.usage else math.nan,
                steps=card.steps,
                provenance=card.provenance,
            )
        )
    return summaries


def _stage_times(plan: StagePlan, reused: list[str]) -> list[StageDuration]:
    times: list[StageDuration] = []
    for name, stage in plan.stages.items():
        content = plan.metadata(name)
        times.append(
            StageDuration(
                kind=stage.kind, name=name, start=content["started"], seconds=content["seconds"], reused=name in reused
            )
        )
    return times


def _write_record(
    folder: Path,
    config: ExperimentConfig,
    plan: StagePlan,
    metadata: Mapping[str, str],
    report: ReportInput,
    elapsed: float,
) -> None:
    """What other commands need to find the models, and a script to read the results."""
    models = {f"{s.run_args['arm']}/{s.run_args['seed']}": plan.folder(s.name) for s in plan.stages_of_kind("model")}
    times = [to_plain(item) for item in report.stages]
    content = {
        "name": config.name,
        "config": to_plain(config),
        "models": record_models(folder, models),
        "stages": times,
        "manifest": dict(metadata),
        "wall_seconds": elapsed,
    }
    atomic_write_text(folder / RECORD_FILE, json.dumps(content, indent=1) + "\n")
    atomic_write_text(
        folder / "scores.json", json.dumps([to_plain(replace(s, samples=())) for s in report.scores], indent=1)
    )


def _log_results(tracker: Tracker, parent_run: str, folder: Path, report: ReportInput) -> None:
    tracker.log_file(parent_run, folder / "report.html")
    tracker.log_file(parent_run, folder / "scores.json")
    tracker.log_file(parent_run, folder / RECORD_FILE)
    tracker.log_text(parent_run, "manifest.json", json.dumps(dict(report.manifest), indent=1))
    diff = git_diff()
    if diff:
        tracker.log_text(parent_run, "uncommitted.diff", diff)
    values = {
        f"{score.arm}/{score.seed}/{score.route}/{score.target}/{score.metric}".replace("->", "-to-"): score.value
        for score in report.scores
        if score.seed is not None
    }
    tracker.log_metrics(parent_run, values)
