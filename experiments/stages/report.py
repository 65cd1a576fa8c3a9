"""Stage kind ``report``: the page, the scores and the gallery of an ablation, made of all other results."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

from evaluation.report.input import ReportInput
from evaluation.report.page import write_report
from evaluation.report.sheets import comparison_sheets
from evaluation.report.tables import build_tables
from evaluation.scores import write_scores
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.evaluation import RENDERINGS_FILE, SCORES_FILE
from experiments.stages.generation import load_galleries, write_galleries
from experiments.stages.inputs import build_codec, open_eval_split, open_raw_split
from experiments.stages.plan import Stage
from experiments.stages.summaries import (
    collect_scores,
    describe_samples,
    loss_curves,
    model_summary,
    results,
    stage_durations,
    tokenizer_summaries,
)
from modalities.rendering.sheet import Rendering, read_renderings
from modalities.storage.atomic import atomic_write_text

REPORT_FILE, MANIFEST_FILE = "report.html", "manifest.json"


class ReportStage(StageKind):
    """Writes the report of the whole ablation.

    Times and the manifest are those of the run that makes the report; they do not decide it.
    """

    kind = "report"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan the one report, behind all other stages."""
        config = context.config
        yield self.stage(
            "report",
            {
                **context.params("name", "root", "arms", "seeds", "evaluation", "data"),
                "size": config.scale.size,
                "command": context.command,
            },
            inputs=tuple(stage.name for stage in context.stages),
            run_args={"command": context.command},
            cost=3.0,
        )

    def run(self, context: StageContext) -> None:
        """Write the page, the scores of all models, the gallery and the manifest."""
        report = build_report(context)
        write_galleries(context, context.folder, report.generated)
        write_report(context.folder / REPORT_FILE, report, build_tables(report))
        write_scores(context.folder / SCORES_FILE, [replace(score, samples=()) for score in report.scores])
        manifest = {"command": report.command, **report.manifest}
        atomic_write_text(context.folder / MANIFEST_FILE, json.dumps(manifest, indent=1))


def build_report(context: StageContext) -> ReportInput:
    """Collect everything that the page shows."""
    config, modalities = context.config, context.modalities
    codec = build_codec(context, list(modalities))
    held_out = open_eval_split(context, "validation", list(modalities))
    drawn: dict[str, dict[str, list[Rendering]]] = {}
    for arm, _, folder in results(context, "evaluation"):
        drawn.setdefault(arm, read_renderings(folder / RENDERINGS_FILE))
    models = results(context, "model")
    return ReportInput(
        title=config.name,
        command=context.stage.run_args["command"],
        data=describe_samples(context, held_out.num_samples),
        arms={name: config.arm_modalities(name) for name in config.arms},
        seeds=config.seeds,
        modalities=modalities,
        scores=collect_scores(context),
        histories=[curve for arm, seed, folder in models for curve in loss_curves(folder, arm, seed)],
        tokenizers=tokenizer_summaries(context),
        sheets=comparison_sheets(codec, held_out, drawn, config.evaluation),
        generated=load_galleries(context),
        stages=stage_durations(context),
        models={arm: model_summary(folder) for arm, _, folder in models},
        manifest={
            **context.run.manifest,
            "seeds": ", ".join(map(str, config.seeds)),
            "training data": open_raw_split(context, "train", list(modalities)[:1]).fingerprint,
        },
        wall_seconds=time.time() - context.run.started_at,
        resamples=config.evaluation.resamples,
    )
