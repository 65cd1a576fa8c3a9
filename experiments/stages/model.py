"""Stage kind ``model``: one 4M model, trained with one arm's modalities and one seed."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from lightning import Callback, LightningModule, Trainer, seed_everything

from evaluation.report.sheets import validation_sheet
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.resolutions import resolution_variant
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext, move_contents_up
from experiments.stages.inputs import (
    build_codec,
    build_streams,
    load_text_tokenizer,
    open_eval_split,
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
    prepare_resume,
    save_picture,
)
from experiments.tracking import MODEL_ARTIFACTS
from lightning_modules.callbacks.pictures import PredictionImageCallback
from lightning_modules.callbacks.progress import ProgressReporter
from lightning_modules.checkpoints.model import (
    CARD_FILE,
    CONFIG_FILE,
    TEXT_TOKENIZER_FILE,
    TOKENIZERS_FOLDER,
    WEIGHTS_FILE,
    load_model,
    save_model,
)
from lightning_modules.data.loading import FourMDataModule
from lightning_modules.fourm import FourMModule
from modalities.errors import CheckpointError
from modalities.layouts import Dense
from modalities.sources.open import open_source
from modalities.spec import Provenance
from modalities.storage.serialization import to_plain
from networks.masking.masker import Masker
from networks.pretrained.warm_start import adopt
from networks.tokenizers.text import TextTokenizer

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
        training = {name: value for name, value in to_plain(config.training).items() if name != "checkpoint_minutes"}
        for arm, seed in context.arm_seeds():
            names = config.arm_modalities(arm)
            yield self.stage(
                f"model/{arm}/{seed}",
                {
                    "modalities": list(names),
                    "seed": seed,
                    "model": to_plain(config.model),
                    "masking": to_plain(config.masking),
                    "optim": to_plain(config.optim),
                    # The content of the folder decides, not its path; interruptions change no result.
                    "training": {**training, "start_from": start.weights_hash if start else None},
                    "devices": config.executor.devices,
                },
                inputs=(
                    *context.names("data/validation", "tokens"),
                    *dict.fromkeys(("text", *context.tokenizer_names(names))),
                ),
                read_modalities=tuple(names),
                run_args={"arm": arm, "seed": seed},
                cost=1000.0,
            )

    def run(self, context: StageContext) -> None:
        """Train the model and write its folder."""
        config, arm, seed = context.config, context.stage.run_args["arm"], context.stage.run_args["seed"]
        names, text = config.arm_modalities(arm), load_text_tokenizer(context)
        streams = build_streams(context, names, text)
        seed_everything(seed, verbose=False)
        module = FourMModule(streams, config.model, config.optim)
        _load_initial_weights(context, module)
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
        callbacks: list[Callback] = [
            *context.callbacks,
            resume_state.callback,
            ProgressReporter(context.report_progress, "tokens", config.training.batch_size * tokens_per_sample),
        ]
        if config.training.pictures_every and (draw_pictures := _picture_callback(context)):
            callbacks.append(PredictionImageCallback(config.training.pictures_every, draw_pictures))
        if config.training.compile:
            module.model.compile_blocks()
        trainer = Trainer(
            **base_trainer_kwargs(config),
            devices=config.executor.devices,
            strategy=lightning_strategy(config, config.executor.devices),
            max_steps=config.steps,
            accumulate_grad_batches=config.training.accumulate,
            logger=logger,
            log_every_n_steps=config.training.log_every,
            val_check_interval=config.training.val_every * config.training.accumulate,
            check_val_every_n_epoch=None,
            limit_val_batches=config.training.val_batches,
            callbacks=callbacks,
            plugins=resume_state.plugin,
            precision=cast(Any, config.training.precision),
            use_distributed_sampler=False,
        )
        trainer.fit(module, datamodule=data, ckpt_path=resume_state.path)
        if leave_process_group(trainer):
            _write_result(context, module, text, logger.history, resume_state.previous_seconds)

    def devices(self, config: ExperimentConfig) -> int:
        """``executor.devices``."""
        return config.executor.devices


def _load_initial_weights(context: StageContext, module: FourMModule) -> None:
    """Begin from another model's weights, where the config says so, and say what does not fit."""
    path = context.config.training.start_from
    if path is None:
        return
    loaded_weights = adopt(module.model, load_model(Path(path)).model)
    if not loaded_weights.taken:
        raise CheckpointError(f"No weight of training.start_from={path} fits this run's model: set model.size to its.")
    log.warning("%s starts from %s: %s.", context.stage.name, path, loaded_weights)


def _picture_callback(context: StageContext) -> Callable[[LightningModule, int], None] | None:
    """A function that draws validation predictions into the stage's folder and the tracker; None if there is nothing.

    They are made from the first grid that has a pixel stream, or in an arm without one from the first grid.
    """
    names = list(context.config.arm_modalities(context.stage.run_args["arm"]))
    codec = build_codec(context, names)
    held_out = open_eval_split(context, "validation", names)
    grids = [name for name, item in codec.modalities.items() if isinstance(item.layout, Dense)]
    photographs = [name for name in grids if codec.modalities[name].has_pixel_stream]
    source = next(iter([*photographs, *grids]), None)
    targets = [name for name in context.config.training.pictures_of if name in codec.modalities and name != source]
    if source is None or not targets:
        return None

    def draw_pictures(module: LightningModule, step: int) -> None:
        model = cast(FourMModule, module).model
        picture = validation_sheet(model, codec, held_out, targets, context.config.evaluation, source).image()
        save_picture(context, picture, step)

    return draw_pictures


def _write_result(
    context: StageContext, module: FourMModule, text: TextTokenizer, history: Any, previous_seconds: float
) -> None:
    names = context.config.arm_modalities(context.stage.run_args["arm"])
    source = open_source(context.modalities)
    proxies = [name for name in names if context.modalities[name].provenance is Provenance.proxy]
    card = {
        "arm": context.stage.run_args["arm"],
        "seed": context.stage.run_args["seed"],
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "tokens_seen": module.tokens_seen,
        "steps": context.config.steps,
        "data": f"{context.config.data.train} {source.description} of {context.config.scale.size} pixels",
        "proxies": proxies,
    }
    save_model(
        context.folder / "model",
        module.model.cpu(),
        modalities=names,
        scale=context.config.scale,
        text=text,
        fingerprints=stream_fingerprints(context, names),
        tokenizers={
            name: context.inputs[f"tokenizer/{name}"] for name in required_tokenizers(context.modalities, names)
        },
        card=card,
        variants={
            name: resolution_variant(context.config.resolutions[name], context.modalities[name])
            for name in names
            if name in context.config.resolutions
        },
    )
    move_contents_up(context, "model")
    (context.folder / HISTORY_FILE).write_text(json.dumps(history))
    (context.folder / METADATA_FILE).write_text(json.dumps({**card, "earlier_seconds": previous_seconds}))
