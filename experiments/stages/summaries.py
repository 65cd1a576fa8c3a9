"""Summaries of finished stages, as the report shows them."""

import math
from collections.abc import Mapping
from pathlib import Path

from evaluation.report.input import LossCurve, StageDuration, TokenizerSummary
from evaluation.scores import Score, read_scores
from experiments.data_source import describe_data, open_data_source
from experiments.stages.baselines import load_reference_levels
from experiments.stages.context import StageContext
from experiments.stages.evaluation import SCORES_FILE
from experiments.stages.inputs import describe_omitted, open_raw_split
from experiments.stages.model import METADATA_FILE
from experiments.stages.plan import DONE_FILE
from experiments.stages.training import HISTORY_FILE
from lightning_modules.checkpoints.tokenizer import load_tokenizer
from modalities.spec import tokenizer_tasks
from modalities.storage.atomic import read_json


def collect_scores(context: StageContext) -> list[Score]:
    """Read the scores of the tokenizers' round trips and of every model, one record a figure."""
    scores: list[Score] = list(load_reference_levels(context).scores)
    for _, _, folder in results(context, "evaluation"):
        scores += read_scores(folder / SCORES_FILE)
    for seed in context.config.seeds if context.config.binding.enabled else ():
        scores += read_scores(context.inputs[f"binding/{seed}"] / SCORES_FILE)
    return scores


def describe_samples(context: StageContext, num_held_out: int) -> str:
    """The samples of the run in words, and their licence."""
    num_training = open_raw_split(context, "train", list(context.modalities)[:1]).num_samples
    counts = f"{num_training} training and {num_held_out} held-out"
    source_license = open_data_source(context.config.data, context.modalities).license
    samples = describe_data(context.config, context.modalities, counts)
    return f"{samples} (licence: {source_license}){describe_omitted(context)}"


def results(context: StageContext, kind: str) -> list[tuple[str, int, Path]]:
    """Arm, seed and folder of each stage of a kind that is planned for each arm and seed."""
    config = context.config
    return [(arm, seed, context.inputs[f"{kind}/{arm}/{seed}"]) for seed in config.seeds for arm in config.arms]


def loss_curves(folder: Path, arm: str, seed: int) -> list[LossCurve]:
    """Training and validation loss of a model by step."""
    content = read_json(folder / HISTORY_FILE)
    return [
        LossCurve(arm=arm, seed=seed, name=name, points=tuple((float(step), float(value)) for step, value in points))
        for name, key in (("train", "train/loss"), ("val", "val/loss"))
        if (points := content.get(key))
    ]


def model_summary(folder: Path) -> Mapping[str, str]:
    """Size, steps, tokens and speed of a trained model, in words."""
    content = read_json(folder / METADATA_FILE)
    seconds = read_json(folder / DONE_FILE)["seconds"] + content.get("earlier_seconds", 0.0)
    return {
        "parameters": f"{content['parameters']:,}",
        "steps": f"{content['steps']:,}",
        "training tokens": f"{content['tokens_seen']:,}",
        "tokens per second": f"{content['tokens_seen'] / max(seconds, 1e-9):,.0f}",
        "waiting for data": f"{100 * content['data_wait']:.1f} %",
    }


def tokenizer_summaries(context: StageContext) -> list[TokenizerSummary]:
    """Entries of every learned tokenizer's card."""
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


def stage_durations(context: StageContext) -> list[StageDuration]:
    """Start and seconds of every input."""
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
