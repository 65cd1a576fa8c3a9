"""The plan of all stages of an experiment."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from experiments.schema.experiment import ExperimentConfig
from experiments.stage_kinds import STAGE_KINDS
from experiments.stages.base import PlanContext
from experiments.stages.plan import StagePlan
from lightning_modules.checkpoints.warm_start import load_warm_start
from modalities.spec import Modality, tokenizer_tasks


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
