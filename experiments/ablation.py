"""An ablation from its config to its report: plan, ledger, run, compare."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from evaluation.files import write_text
from evaluation.pictures import read_drawings, sheets
from evaluation.records import Score, read_scores
from evaluation.report import History, ReportInput, StageTime, TokenizerFacts, summary, write_report
from evaluation.roundtrip import Baselines
from experiments.bookkeeper import Bookkeeper
from experiments.config import ExperimentConfig, check_names, modalities_of, plain_values
from experiments.context import Job, codecs_of, raw_split, split_of
from experiments.display import Display
from experiments.exhibits import exhibits_of, lay_out
from experiments.manifest import MemoryWatch, git_diff, manifest
from experiments.planning import plan_of
from experiments.scheduler import run_plan
from experiments.stages import Plan, Stage
from experiments.tracking import Ledger, ledger_uri, open_ledger
from lightning_modules.records import to_plain
from lightning_modules.tokenizer_folder import load_tokenizer
from modalities.errors import DataError
from modalities.registry import Registry, default_registry
from modalities.spec import Modality, tokenizer_tasks

RECORD = "ablation.json"
"""File in an ablation's folder that says where its models are."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Where an ablation's results are, and what a terminal shows of them."""

    folder: Path
    report: Path
    table: Any
    uri: str
    seconds: float


def run_ablation(config: ExperimentConfig, console: Console, command: str, registry: Registry | None = None) -> Result:
    """Run what is missing of an ablation, and write its report.

    Raises:
        UserError: A modality is unknown, a stage failed, or nothing can be written.
    """
    began = time.time()
    registry = registry or default_registry()
    check_names(config, registry)
    modalities = modalities_of(config, registry)
    plan = plan_of(config, modalities)
    folder = plan.root / config.name
    uri = ledger_uri(plan.root, config.tracking.uri)
    ledger = open_ledger(uri, plan.root, config.tracking.experiment)
    finished = [name for name in plan.stages if plan.is_done(name)]
    parent = ledger.start(config.name, tags={"fourm.stage": "ablation"}, params=plain_values(config))
    failed = True
    try:
        ledger.text(
            parent, "reused.json", json.dumps({name: plan.told(name).get("run") for name in finished}, indent=1)
        )
        with Display(console, plan) as display, MemoryWatch() as memory:
            display.reused(finished)
            keeper = Bookkeeper(ledger=ledger, parent=parent, plan=plan, display=display)
            run_plan(config, plan, keeper, uri)
        facts = {
            **manifest(),
            "seeds": ", ".join(map(str, config.seeds)),
            "peak memory": f"{memory.peak / 2**30:.2f} GiB",
            "command": command,
        }
        reading = _reading_job(config, plan, modalities)
        facts["training data"] = raw_split(reading, "train", list(modalities)[:1]).fingerprint
        wall = time.time() - began
        report = _report(config, plan, modalities, finished, facts, wall)
        folder.mkdir(parents=True, exist_ok=True)
        lay_out(plan, folder, report.generated)
        write_report(folder / "report.html", report)
        _record(folder, config, plan, facts, report, wall)
        _keep(ledger, parent, folder, report)
        failed = False
    finally:
        ledger.finish(parent, failed=failed)
    return Result(folder=folder, report=folder / "report.html", table=summary(report), uri=uri, seconds=wall)


def _report(
    config: ExperimentConfig,
    plan: Plan,
    modalities: Mapping[str, Modality],
    finished: list[str],
    facts: Mapping[str, str],
    wall: float,
) -> ReportInput:
    scores: list[Score] = list(Baselines.load(plan.folder("baselines")).scores)
    histories: list[History] = []
    models: dict[str, dict[str, str]] = {}
    predicted: dict[str, Any] = {}
    for stage in plan.of("evaluation"):
        arm, seed = stage.details["arm"], stage.details["seed"]
        scores += read_scores(plan.folder(stage.name) / "scores.json")
        model = plan.folder(f"model/{arm}/{seed}")
        histories += _histories(model, arm, seed)
        models[arm] = _model_facts(model, plan.told(f"model/{arm}/{seed}")["seconds"])
        if arm not in predicted:
            predicted[arm] = read_drawings(plan.folder(stage.name) / "drawings.json")
    job = _reading_job(config, plan, modalities)
    codecs = codecs_of(job, list(modalities))
    return ReportInput(
        title=config.name,
        command=facts["command"],
        data=(
            f"{config.data.train} training and {config.data.validation} held-out procedural scenes "
            f"of {config.scale.size} × {config.scale.size} pixels"
        ),
        arms={name: config.arm(name) for name in config.arms},
        seeds=config.seeds,
        modalities=modalities,
        scores=scores,
        histories=histories,
        tokenizers=_tokenizer_facts(plan, modalities),
        sheets=sheets(codecs, split_of(job, "validation", codecs), predicted, config.evaluation),
        generated=exhibits_of(config, plan),
        stages=_times(plan, finished),
        models=models,
        manifest={name: value for name, value in facts.items() if name != "command"},
        wall_seconds=wall,
        resamples=config.evaluation.resamples,
    )


def _reading_job(config: ExperimentConfig, plan: Plan, modalities: Mapping[str, Modality]) -> Job:
    """A job that only reads, with every stage as its input."""
    stage = Stage(kind="report", name="report", facts={})
    inputs = {name: plan.folder(name) for name in plan.stages}
    return Job(
        config=config, stage=stage, modalities=modalities, inputs=inputs, folder=plan.root, report=lambda *_: None
    )


def _histories(folder: Path, arm: str, seed: int) -> list[History]:
    told = json.loads((folder / "history.json").read_text())
    return [
        History(arm=arm, seed=seed, name=name, points=tuple((float(step), float(value)) for step, value in points))
        for name, key in (("train", "train/loss"), ("val", "val/loss"))
        if (points := told.get(key))
    ]


def _model_facts(folder: Path, seconds: float) -> dict[str, str]:
    told = json.loads((folder / "facts.json").read_text())
    seconds += told.get("earlier_seconds", 0.0)
    return {
        "parameters": f"{told['parameters']:,}",
        "steps": f"{told['steps']:,}",
        "tokens seen": f"{told['tokens_seen']:,}",
        "tokens per second": f"{told['tokens_seen'] / max(seconds, 1e-9):,.0f}",
    }


def _tokenizer_facts(plan: Plan, modalities: Mapping[str, Modality]) -> list[TokenizerFacts]:
    facts: list[TokenizerFacts] = []
    for name, task in tokenizer_tasks(modalities).items():
        card = load_tokenizer(plan.folder(f"tokenizer/{name}"), task).card
        facts.append(
            TokenizerFacts(
                name=name,
                members=task.members,
                vocab=task.tokenizer.vocab,
                num_tokens=task.layout.num_tokens,
                used=card.usage.used if card.usage else math.nan,
                perplexity=card.usage.perplexity if card.usage else math.nan,
                steps=card.steps,
                provenance=card.provenance,
            )
        )
    return facts


def _times(plan: Plan, finished: list[str]) -> list[StageTime]:
    times: list[StageTime] = []
    for name, stage in plan.stages.items():
        told = plan.told(name)
        times.append(
            StageTime(
                kind=stage.kind, name=name, start=told["started"], seconds=told["seconds"], reused=name in finished
            )
        )
    return times


def _record(
    folder: Path, config: ExperimentConfig, plan: Plan, facts: Mapping[str, str], report: ReportInput, wall: float
) -> None:
    """What other commands need to find the models, and a script to read the results."""
    models = {f"{s.details['arm']}/{s.details['seed']}": str(plan.folder(s.name)) for s in plan.of("model")}
    times = [to_plain(item) for item in report.stages]
    told = {
        "name": config.name,
        "config": to_plain(config),
        "models": models,
        "stages": times,
        "manifest": dict(facts),
        "wall_seconds": wall,
    }
    write_text(folder / RECORD, json.dumps(told, indent=1) + "\n")
    write_text(folder / "scores.json", json.dumps([to_plain(replace(s, samples=())) for s in report.scores], indent=1))


def _keep(ledger: Ledger, parent: str, folder: Path, report: ReportInput) -> None:
    ledger.file(parent, folder / "report.html")
    ledger.file(parent, folder / "scores.json")
    ledger.file(parent, folder / RECORD)
    ledger.text(parent, "manifest.json", json.dumps(dict(report.manifest), indent=1))
    diff = git_diff()
    if diff:
        ledger.text(parent, "uncommitted.diff", diff)
    values = {
        f"{score.arm}/{score.seed}/{score.route}/{score.target}/{score.metric}".replace("->", "-to-"): score.value
        for score in report.scores
        if score.seed is not None
    }
    ledger.metrics(parent, values)


def find_model(path: Path, arm: str | None = None, seed: int | None = None) -> Path:
    """The model folder that a person means: itself, or one of an ablation's models; the largest arm's where not said.

    Raises:
        DataError: There is none.
    """
    if (path / "model.safetensors").is_file():
        return path
    if not (path / RECORD).is_file():
        raise DataError(
            f"{path} is neither a model's folder nor an ablation's: no model.safetensors, no {RECORD} in it."
        )
    try:
        models = {str(name): Path(place) for name, place in json.loads((path / RECORD).read_text())["models"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path / RECORD} is damaged, expected a record of models: {type(error).__name__}. Run its ablation again."
        ) from error
    chosen = [
        name
        for name in models
        if (arm is None or name.split("/")[0] == arm) and (seed is None or name.endswith(f"/{seed}"))
    ]
    if not chosen:
        raise DataError(f"{path} has no model of arm {arm!r} and seed {seed!r}; it has {', '.join(models)}.")
    return models[chosen[-1]]
