"""Stage kind ``baselines``: chance levels and tokenizer round trips, which all models are held against."""

from collections.abc import Iterator, Mapping
from typing import Any

from evaluation.reference_levels import ReferenceLevels
from evaluation.references.measure import measure_reference_levels
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import build_codec, open_eval_split
from experiments.stages.plan import Stage
from modalities.spec import Modality
from modalities.storage.serialization import to_plain


class BaselinesStage(StageKind):
    """Measures every reference level once for all arms and seeds."""

    kind = "baselines"
    artifacts = ("baselines.json",)

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan the one measurement."""
        yield self.stage(
            "baselines",
            {
                "evaluation": measurement_params(context.config),
                "restrict_output_vocab": context.config.model.restrict_output_vocab,
                "metrics": _metric_names(context.modalities),
            },
            inputs=context.names("data", "tokens", "text", "tokenizer"),
            cost=1.0 + 0.03 * context.config.evaluation.num_samples,
        )

    def run(self, context: StageContext) -> None:
        """Measure chance and the round trips."""
        names = list(context.modalities)
        codec = build_codec(context, names)
        train, held_out = open_eval_split(context, "train", names), open_eval_split(context, "validation", names)
        measure_reference_levels(codec, train, held_out, context.config.evaluation).save(context.folder)


def load_reference_levels(context: StageContext) -> ReferenceLevels:
    """Read the result of the baselines stage."""
    return ReferenceLevels.load(context.inputs["baselines"])


def measurement_params(config: ExperimentConfig) -> dict[str, Any]:
    """Settings that decide a measurement: the evaluation's but the number of generated samples, and retrieval."""
    left_out = ("num_generated", "retrieval")
    return {name: value for name, value in to_plain(config.evaluation).items() if name not in left_out}


def _metric_names(modalities: Mapping[str, Modality]) -> dict[str, list[str]]:
    """Names of the metrics of each modality that can be predicted, the one that tables show first."""
    return {name: [str(metric) for metric in item.metrics()] for name, item in modalities.items() if item.is_target}
