"""Stage kind ``evaluation``: the scores of one model."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from evaluation.report.sheets import render_predictions
from evaluation.scores import read_scores, write_scores
from evaluation.tasks.base import ModelRef, TaskContext
from evaluation.tasks.cross_entropy import common_inputs
from evaluation.tasks.measure import measure_model
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.baselines import load_reference_levels, measurement_params
from experiments.stages.context import StageContext
from experiments.stages.inputs import (
    build_codec,
    build_streams,
    inference_device,
    load_text_tokenizer,
    open_eval_split,
)
from experiments.stages.plan import Stage
from lightning_modules.checkpoints.model import load_model
from modalities.rendering.sheet import write_renderings
from modalities.storage.serialization import to_plain

log = logging.getLogger(__name__)

SCORES_FILE, RENDERINGS_FILE = "scores.json", "drawings.json"


class EvaluationStage(StageKind):
    """Measures one model on the held-out split."""

    kind, version = "evaluation", 2
    artifacts = (SCORES_FILE,)

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one measurement for each arm and seed, by the inputs that all arms have."""
        config = context.config
        shared = sorted(set.intersection(*[set(config.arm_modalities(arm)) for arm in config.arms]))
        for arm, seed in context.arm_seeds():
            yield self.stage(
                f"evaluation/{arm}/{seed}",
                {
                    "evaluation": measurement_params(config),
                    "common": shared,
                    **({"retrieval": to_plain(config.retrieval)} if config.retrieval else {}),
                },
                inputs=(f"model/{arm}/{seed}", *context.names("baselines", "data", "tokens", "text", "tokenizer")),
                run_args={"arm": arm, "seed": seed},
                cost=0.06 * config.evaluation.num_samples + 0.15 * config.evaluation.num_sequences,
            )

    def run(self, context: StageContext) -> None:
        """Measure the model."""
        config, arm, seed = context.config, context.stage.run_args["arm"], context.stage.run_args["seed"]
        loaded = load_model(context.inputs[f"model/{arm}/{seed}"])
        names = list(config.arm_modalities(arm))
        codec = build_codec(context, names)
        all_streams = build_streams(context, list(context.modalities), load_text_tokenizer(context))
        shared_inputs = common_inputs(
            {name: [s for s in all_streams if s.modality in config.arm_modalities(name)] for name in config.arms}
        )
        measured = measure_model(
            TaskContext(
                model=loaded.model.to(inference_device(config)),
                codec=codec,
                held_out=open_eval_split(context, "validation", names),
                reference_levels=load_reference_levels(context),
                common_inputs=shared_inputs,
                model_ref=ModelRef(arm=arm, seed=seed),
                config=replace(config.evaluation, retrieval=config.retrieval),
            )
        )
        for line in measured.skipped:
            log.warning("%s is not measured: %s.", context.stage.name, line)
        write_scores(context.folder / SCORES_FILE, measured.scores)
        write_renderings(context.folder / RENDERINGS_FILE, render_predictions(codec, measured.predictions))

    def metrics(self, folder: Path) -> Mapping[str, float]:
        """The scores, by route, target and metric."""
        return {score.tracking_name: score.value for score in read_scores(folder / SCORES_FILE)}
