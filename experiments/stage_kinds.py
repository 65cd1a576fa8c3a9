"""The stage kinds in the order in which they are planned."""

from collections.abc import Mapping

from experiments.stages.base import StageKind
from experiments.stages.baselines import BaselinesStage
from experiments.stages.binding.stage import BindingStage
from experiments.stages.data import DataStage
from experiments.stages.evaluation import EvaluationStage
from experiments.stages.generation import GenerationStage
from experiments.stages.model import ModelStage
from experiments.stages.report import ReportStage
from experiments.stages.text import TextStage
from experiments.stages.tokenizer import TokenizerStage
from experiments.stages.tokens import TokensStage

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
