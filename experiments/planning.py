"""The stage kinds in the order in which they are planned, and the plan that they make together."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from experiments.schema.experiment import ExperimentConfig
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.baselines import BaselinesStage
from experiments.stages.binding.stage import BindingStage
from experiments.stages.data import DataStage
from experiments.stages.evaluation import EvaluationStage
from experiments.stages.generation import GenerationStage
from experiments.stages.model import ModelStage
from experiments.stages.plan import StagePlan
from experiments.stages.report import ReportStage
from experiments.stages.text import TextStage
from experiments.stages.tokenizer import TokenizerStage
from experiments.stages.tokens import TokensStage
from lightning_modules.checkpoints.warm_start import load_warm_start
from modalities.spec import Modality, tokenizer_tasks

STAGE_KINDS: Mapping[str, StageKind] = {
    item.kind: item
    for item in (
        DataStage(),
        TextStage(),
        TokenizerStage(),
        TokensStage(),
        BaselinesStage(),
        ModelStage(),
        EvaluationStage(),
        BindingStage(),
        GenerationStage(),
        ReportStage(),
    )
}
"""Every kind behind those whose results it reads."""


def build_stage_plan(config: ExperimentConfig, modalities: Mapping[str, Modality], command: str = "") -> StagePlan:
    """Plan every stage of an experiment; ``command`` is what the report shows as its origin.

    Data and tokenizers cover the modalities of all arms and are made once; a model is made for each arm and seed. A
    modality more or less makes data and tokens anew, but no tokenizer and no model that does not read it.
    """
    start = load_warm_start(config.training.start_from, tokenizer_tasks(modalities))
    context = PlanContext(config=config, modalities=modalities, warm_start=start, command=command)
    for kind in STAGE_KINDS.values():
        context = replace(context, stages=(*context.stages, *kind.plan(context)))
    return StagePlan(Path(config.root).absolute(), context.stages)
