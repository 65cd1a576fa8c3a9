"""Stage kind ``report``: the page, the scores and the gallery of an ablation, made of all other results."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from evaluation.report.input import LossCurve, ReportInput, StageDuration, TokenizerSummary
from evaluation.report.page import write_report
from evaluation.report.sheets import comparison_sheets
from evaluation.scores import Score, read_scores
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.baselines import load_reference_levels
from experiments.stages.context import StageContext
from experiments.stages.evaluation import RENDERINGS_FILE, SCORES_FILE
from experiments.stages.generation import load_galleries, write_galleries
from experiments.stages.inputs import build_codec, open_eval_split, open_raw_split
from experiments.stages.model import METADATA_FILE
from experiments.stages.plan import DONE_FILE, Stage
from experiments.stages.training import HISTORY_FILE
from lightning_modules.checkpoints.tokenizer import load_tokenizer
from modalities.rendering.sheet import Rendering, read_renderings
from modalities.sources.open import open_source
from modalities.spec import tokenizer_tasks
from modalities.storage.atomic import atomic_write_text, read_json
from modalities.storage.serialization import to_plain

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
            cost=5.0,
        )

    def run(self, context: StageContext) -> None:
        """Write the page, the scores of all models, the gallery and the manifest."""
        report = build_report(context)
        write_galleries(context, context.folder, report.generated)
        write_report(context.folder / REPORT_FILE, report)
        rows = [to_plain(replace(score, samples=())) for score in report.scores]
        atomic_write_text(context.folder / SCORES_FILE, json.dumps(rows, indent=1))
        manifest = {"command": report.command, **report.manifest}
        atomic_write_text(context.folder / MANIFEST_FILE, json.dumps(manifest, indent=1))


def build_report(context: StageContext) -> ReportInput:
    """Collect everything that the page shows."""
    config, modalities = context.config, context.modalities
    codec = build_codec(context, list(modalities))
    held_out = open_eval_split(context, "validation", list(modalities))
    drawn: dict[str, dict[str, list[Rendering]]] = {}
    for arm, _, folder in _results(context, "evaluation"):
        drawn.setdefault(arm, read_renderings(folder / RENDERINGS_FILE))
    models = _results(context, "model")
    return ReportInput(
        title=config.name,
        command=context.stage.run_args["command"],
        data=(
            f"{config.data.train} training and {config.data.validation} held-out {open_source(modalities).description} "
            f"of {config.scale.size} × {config.scale.size} pixels"
        ),
        arms={name: config.arm_modalities(name) for name in config.arms},
        seeds=config.seeds,
        modalities=modalities,
        scores=collect_scores(context),
        histories=[curve for arm, seed, folder in models for curve in _loss_curves(folder, arm, seed)],
        tokenizers=_tokenizer_summaries(context),
        sheets=comparison_sheets(codec, held_out, drawn, config.evaluation),
        generated=load_galleries(context),
        stages=_durations(context),
        models={arm: _model_summary(folder) for arm, _, folder in models},
        manifest={
            **context.run.manifest,
            "seeds": ", ".join(map(str, config.seeds)),
            "training data": open_raw_split(context, "train", list(modalities)[:1]).fingerprint,
        },
        wall_seconds=time.time() - context.run.started_at,
        resamples=config.evaluation.resamples,
    )


def collect_scores(context: StageContext) -> list[Score]:
    """Read the scores of the tokenizers' round trips and of every model, one record a figure."""
    scores: list[Score] = list(load_reference_levels(context).scores)
    for _, _, folder in _results(context, "evaluation"):
        scores += read_scores(folder / SCORES_FILE)
    return scores


def _results(context: StageContext, kind: str) -> list[tuple[str, int, Path]]:
    """Arm, seed and folder of each stage of a kind that is planned for each arm and seed."""
    config = context.config
    return [(arm, seed, context.inputs[f"{kind}/{arm}/{seed}"]) for seed in config.seeds for arm in config.arms]


def _loss_curves(folder: Path, arm: str, seed: int) -> list[LossCurve]:
    content = read_json(folder / HISTORY_FILE)
    return [
        LossCurve(arm=arm, seed=seed, name=name, points=tuple((float(step), float(value)) for step, value in points))
        for name, key in (("train", "train/loss"), ("val", "val/loss"))
        if (points := content.get(key))
    ]


def _model_summary(folder: Path) -> Mapping[str, str]:
    content = read_json(folder / METADATA_FILE)
    seconds = read_json(folder / DONE_FILE)["seconds"] + content.get("earlier_seconds", 0.0)
    return {
        "parameters": f"{content['parameters']:,}",
        "steps": f"{content['steps']:,}",
        "tokens seen": f"{content['tokens_seen']:,}",
        "tokens per second": f"{content['tokens_seen'] / max(seconds, 1e-9):,.0f}",
    }


def _tokenizer_summaries(context: StageContext) -> list[TokenizerSummary]:
    summaries: list[TokenizerSummary] = []
    for name, task in tokenizer_tasks(context.modalities).items():
        card = load_tokenizer(context.inputs[f"tokenizer/{name}"], task).card
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


def _durations(context: StageContext) -> list[StageDuration]:
    durations: list[StageDuration] = []
    for name, folder in context.inputs.items():
        content = read_json(folder / DONE_FILE)
        durations.append(
            StageDuration(
                kind=content["kind"],
                name=name,
                start=content["started"],
                seconds=content["seconds"],
                reused=name in context.run.reused,
            )
        )
    return durations
