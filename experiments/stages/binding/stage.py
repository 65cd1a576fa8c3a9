"""Stage kind ``binding``: one binding model, trained with one seed on the tokens of all arms, and its scores."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lightning import Trainer

from evaluation.scores import read_scores, write_scores
from evaluation.tasks.binding import measure_binding
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.baselines import measurement_params
from experiments.stages.binding.module import build_module, encoder_fingerprint
from experiments.stages.binding.zero_shot import zero_shot_classes
from experiments.stages.context import StageContext
from experiments.stages.inputs import open_eval_split, open_token_store
from experiments.stages.plan import Stage
from experiments.stages.training import (
    HISTORY_FILE,
    base_trainer_kwargs,
    build_run_logger,
    leave_process_group,
    lightning_strategy,
    prepare_resume,
    progress_callbacks,
)
from lightning_modules.binding import TowerBatches
from lightning_modules.data.loading import FourMDataModule
from modalities.storage.serialization import to_plain

SCORES_FILE = "scores.json"


class BindingStage(StageKind):
    """Trains one binding model, and measures it on the held-out split."""

    kind = "binding"
    artifacts = (SCORES_FILE,)

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one training for each seed, where the settings enable it."""
        config, names = context.config, context.config.binding_modalities
        if not config.binding.enabled:
            return
        settings = context.params("binding", "binding_optim")
        if config.binding.image_encoder is not None:
            # The content of the folder decides, not its path.
            settings["binding"]["image_encoder"] = encoder_fingerprint(config.binding.image_encoder)
        for seed in config.seeds:
            yield self.stage(
                f"binding/{seed}",
                {
                    "modalities": list(names),
                    "seed": seed,
                    **settings,
                    "evaluation": measurement_params(config),
                    "retrieval": to_plain(config.retrieval),
                    "devices": config.executor.devices,
                },
                inputs=(
                    *context.names("data/validation", "tokens"),
                    *dict.fromkeys(("text", *context.tokenizer_names(names))),
                ),
                read_modalities=names,
                run_args={"seed": seed},
                cost=1.5e-3 * config.binding_optim.steps * config.binding.batch_size,
            )

    def run(self, context: StageContext) -> None:
        """Train the model, measure it, and write scores and losses."""
        config, seed = context.config, context.stage.run_args["seed"]
        module = build_module(context, seed)
        data = FourMDataModule(
            open_token_store(context, "train", module.streams),
            open_token_store(context, "validation", module.streams),
            TowerBatches(module.model),
            batch_size=config.binding.batch_size,
            val_batches=config.training.val_batches,
            num_workers=config.training.num_workers,
            seed=seed,
        )
        logger = build_run_logger(context)
        resume_state = prepare_resume(context, module, logger)
        trainer = Trainer(
            **base_trainer_kwargs(config),
            devices=config.executor.devices,
            strategy=lightning_strategy(config, config.executor.devices),
            max_steps=config.binding_optim.steps,
            logger=logger,
            log_every_n_steps=config.training.log_every,
            val_check_interval=config.training.val_every,
            check_val_every_n_epoch=None,
            limit_val_batches=config.training.val_batches,
            callbacks=[
                *context.callbacks,
                resume_state.callback,
                *progress_callbacks(context, "samples", config.binding.batch_size),
            ],
            plugins=resume_state.plugin,
            use_distributed_sampler=False,
        )
        trainer.fit(module, datamodule=data, ckpt_path=resume_state.path)
        if leave_process_group(trainer):
            scores = measure_binding(
                module.model.cpu().eval(),
                open_eval_split(context, "validation", list(config.binding_modalities)),
                config.retrieval,
                config.evaluation,
                seed,
                zero_shot_classes(context),
            )
            write_scores(context.folder / SCORES_FILE, scores)
            (context.folder / HISTORY_FILE).write_text(json.dumps(logger.history))

    def devices(self, config: ExperimentConfig) -> int:
        """``executor.devices``."""
        return config.executor.devices

    def metrics(self, folder: Path) -> Mapping[str, float]:
        """The scores, by retrieval and metric."""
        return {score.tracking_name: score.value for score in read_scores(folder / SCORES_FILE)}
