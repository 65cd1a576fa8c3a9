"""Stage kind ``model``: one 4M model, trained with one arm's modalities and one seed."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from lightning import Trainer, seed_everything

from experiments.model_card import model_card, model_variants
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import (
    build_streams,
    load_text_tokenizer,
    open_token_store,
    required_tokenizers,
    stream_fingerprints,
)
from experiments.stages.plan import Stage
from experiments.stages.training import (
    HISTORY_FILE,
    base_trainer_kwargs,
    build_run_logger,
    leave_process_group,
    lightning_strategy,
    picture_callbacks,
    prepare_resume,
    progress_callbacks,
)
from experiments.tracking import MODEL_ARTIFACTS
from lightning_modules.checkpoints.model import (
    CARD_FILE,
    CONFIG_FILE,
    TEXT_TOKENIZER_FILE,
    TOKENIZERS_FOLDER,
    WEIGHTS_FILE,
    save_model,
)
from lightning_modules.checkpoints.warm_start import load_initial_weights
from lightning_modules.data.loading import FourMDataModule
from lightning_modules.fourm import FourMModule
from networks.masking.masker import Masker

log = logging.getLogger(__name__)

METADATA_FILE = "facts.json"


class ModelStage(StageKind):
    """Trains one model."""

    kind = "model"
    artifacts = (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, TEXT_TOKENIZER_FILE, TOKENIZERS_FOLDER)
    artifact_folder = MODEL_ARTIFACTS

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one training for each arm and seed."""
        config, start = context.config, context.warm_start
        settings = context.params("model", "masking", "optim", "training")
        del settings["training"]["checkpoint_minutes"]
        for arm, seed in context.arm_seeds():
            names = config.arm_modalities(arm)
            yield self.stage(
                f"model/{arm}/{seed}",
                {
                    "modalities": list(names),
                    "seed": seed,
                    **settings,
                    # The content of the folder decides, not its path; interruptions change no result.
                    "training": {**settings["training"], "start_from": start.weights_hash if start else None},
                    "devices": config.executor.devices,
                },
                inputs=(
                    *context.names("data/validation", "tokens"),
                    *dict.fromkeys(("text", *context.tokenizer_names(names))),
                ),
                read_modalities=tuple(names),
                run_args={"arm": arm, "seed": seed},
                cost=3.5e-5 * config.optim.total_tokens,
            )

    def run(self, context: StageContext) -> None:
        """Train the model and write its folder."""
        config, arm, seed = context.config, context.stage.run_args["arm"], context.stage.run_args["seed"]
        streams = build_streams(context, config.arm_modalities(arm), load_text_tokenizer(context))
        seed_everything(seed, verbose=False)
        module = FourMModule(streams, config.model, config.optim)
        if config.training.start_from is not None:
            load_initial_weights(module, config.training.start_from)
        data = FourMDataModule(
            open_token_store(context, "train", streams),
            open_token_store(context, "validation", streams),
            Masker(streams, config.masking),
            batch_size=config.training.batch_size,
            val_batches=config.training.val_batches,
            num_workers=config.training.num_workers,
            seed=seed,
        )
        logger, tokens_per_sample = build_run_logger(context), config.masking.num_inputs + config.masking.num_targets
        resume_state = prepare_resume(context, module, logger)
        progress = progress_callbacks(context, "tokens", config.training.batch_size * tokens_per_sample)
        if config.training.compile:
            module.model.compile_blocks()
        trainer = Trainer(
            **base_trainer_kwargs(config),
            devices=config.executor.devices,
            strategy=lightning_strategy(config, config.executor.devices),
            max_steps=config.num_steps,
            accumulate_grad_batches=config.training.accumulate,
            logger=logger,
            log_every_n_steps=config.training.log_every,
            val_check_interval=config.training.val_every * config.training.accumulate,
            check_val_every_n_epoch=None,
            limit_val_batches=config.training.val_batches,
            callbacks=[
                *context.callbacks,
                resume_state.callback,
                *progress,
                *picture_callbacks(context),
            ],
            plugins=resume_state.plugin,
            precision=cast(Any, config.training.precision),
            use_distributed_sampler=False,
        )
        trainer.fit(module, datamodule=data, ckpt_path=resume_state.path)
        if leave_process_group(trainer):
            times = {"earlier_seconds": resume_state.previous_seconds, "data_wait": progress[1].share}
            _write_result(context, module, logger.history, times, data.num_samples)

    def devices(self, config: ExperimentConfig) -> int:
        """``executor.devices``."""
        return config.executor.devices


def _write_result(
    context: StageContext, module: FourMModule, history: Any, times: Mapping[str, float], num_samples: int
) -> None:
    names = context.config.arm_modalities(context.stage.run_args["arm"])
    card = model_card(
        context.config,
        context.modalities,
        arm=context.stage.run_args["arm"],
        seed=context.stage.run_args["seed"],
        num_parameters=sum(p.numel() for p in module.model.parameters()),
        tokens_seen=module.tokens_seen,
        num_samples=num_samples,
    )
    save_model(
        context.folder,
        module.model.cpu(),
        modalities=names,
        scale=context.config.scale,
        text=load_text_tokenizer(context),
        fingerprints=stream_fingerprints(context, names),
        tokenizers={
            name: context.inputs[f"tokenizer/{name}"] for name in required_tokenizers(context.modalities, names)
        },
        card=card,
        variants=model_variants(context.config, context.modalities, names),
    )
    (context.folder / HISTORY_FILE).write_text(json.dumps(history))
    (context.folder / METADATA_FILE).write_text(json.dumps({**card, **times}))
