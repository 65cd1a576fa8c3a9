"""What each kind of stage does. Every function takes a job and leaves its result in the job's folder."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lightning import Callback, LightningModule, Trainer, seed_everything

from evaluation.references.round_trip import ReferenceLevels, measure_reference_levels
from evaluation.report.sheets import render_predictions, validation_sheet
from evaluation.scores import write_scores
from evaluation.tasks.cross_entropy import ModelRef, common_inputs
from evaluation.tasks.measure import measure_model
from experiments.schema.resolutions import resolution_variant
from experiments.stages.context import (
    HISTORY_FILE,
    TEXT_TOKENIZER_FILE,
    StageContext,
    base_trainer_kwargs,
    build_codec,
    build_run_logger,
    build_streams,
    inference_device,
    leave_process_group,
    lightning_strategy,
    load_text_tokenizer,
    move_contents_up,
    open_eval_split,
    open_raw_split,
    open_token_store,
    stream_fingerprints,
)
from experiments.stages.generation import run_generation
from experiments.stages.planning import required_tokenizers
from experiments.stages.resume import prepare_resume, save_picture
from experiments.stages.tokenizer import run_tokenizer
from experiments.stages.warm_start import load_warm_start
from lightning_modules.callbacks.pictures import PredictionImageCallback
from lightning_modules.callbacks.progress import ProgressReporter
from lightning_modules.checkpoints.model import load_model, save_model
from lightning_modules.data.loading import FourMDataModule
from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.data.tokenize import tokenize_shard
from lightning_modules.fourm import FourMModule
from modalities.errors import CheckpointError
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Dense
from modalities.rendering.sheet import write_renderings
from modalities.sources.open import open_source
from modalities.spec import Provenance
from networks.masking.masker import Masker
from networks.pretrained.warm_start import adopt
from networks.tokenizers.text import TextTokenizer

log = logging.getLogger(__name__)

METADATA_FILE = "facts.json"


def run_data(context: StageContext) -> None:
    """Write the raw values of one shard of samples."""
    run_args = context.stage.run_args
    sample_indices = range(run_args["first"], run_args["end"])
    write_shard(
        context.folder / "raw",
        context.modalities,
        open_source(context.modalities),
        run_args["split"],
        sample_indices,
        lambda done: context.report_progress(done, 0.0, "samples"),
    )
    move_contents_up(context)


def run_text(context: StageContext) -> None:
    """Learn word pieces from everything that is written in words."""
    start = load_warm_start(context.config.training.start_from, {})
    if start and start.text_hash:
        shutil.copy(start.folder / TEXT_TOKENIZER_FILE, context.folder / TEXT_TOKENIZER_FILE)
        return
    names = [name for name, item in context.modalities.items() if isinstance(item, FreeTextModality)]
    raw = open_raw_split(context, "train", names)
    texts = [text for name in names for text in raw[name][:] if text]
    (context.folder / TEXT_TOKENIZER_FILE).write_text(
        TextTokenizer.train(texts, open_source(context.modalities).class_names).to_json()
    )


def run_tokens(context: StageContext) -> None:
    """Turn one shard of raw values into tokens."""
    raw = RawStore.open(
        [next(path for name, path in context.inputs.items() if name.startswith("data/"))], context.modalities
    )
    names = list(context.modalities)
    tokenize_shard(
        context.folder,
        raw,
        build_codec(context, names),
        stream_fingerprints(context, names),
        first=context.stage.run_args["first"],
        progress=lambda done: context.report_progress(done, 0.0, "modalities"),
    )


def run_model(context: StageContext) -> None:
    """Train one 4M model."""
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
        _save_model(context, module, text, logger.history, resume_state.previous_seconds)


def _load_initial_weights(context: StageContext, module: FourMModule) -> None:
    """Begin from another model's weights, where the config says so, and say what does not fit."""
    path = context.config.training.start_from
    if path is None:
        return
    loaded_weights = adopt(module.model, load_model(Path(path)).model)
    if not loaded_weights.taken:
        raise CheckpointError(f"No weight of training.start_from={path} fits this run's model: set model.size to its.")
    log.warning("%s starts from %s: %s.", context.stage.name, path, loaded_weights)


def run_baselines(context: StageContext) -> None:
    """Measure every bound and chance level."""
    names = list(context.modalities)
    codec = build_codec(context, names)
    train, held_out = open_eval_split(context, "train", names), open_eval_split(context, "validation", names)
    measure_reference_levels(codec, train, held_out, context.config.evaluation).save(context.folder)


def run_evaluation(context: StageContext) -> None:
    """Measure one model."""
    config, arm, seed = context.config, context.stage.run_args["arm"], context.stage.run_args["seed"]
    loaded = load_model(context.inputs[f"model/{arm}/{seed}"])
    names = list(config.arm_modalities(arm))
    codec = build_codec(context, names)
    all_streams = build_streams(context, list(context.modalities), load_text_tokenizer(context))
    shared_inputs = common_inputs(
        {
            name: [s for s in all_streams if _modality_name(s.name) in config.arm_modalities(name)]
            for name in config.arms
        }
    )
    model = loaded.model.to(inference_device(config))
    measured = measure_model(
        model,
        codec,
        open_eval_split(context, "validation", names),
        ReferenceLevels.load(context.inputs["baselines"]),
        shared_inputs,
        ModelRef(arm=arm, seed=seed),
        config.evaluation,
    )
    write_scores(context.folder / "scores.json", measured.scores)
    write_renderings(context.folder / "drawings.json", render_predictions(codec, measured.predictions))


STAGE_RUNNERS: dict[str, Callable[[StageContext], None]] = {
    "data": run_data,
    "text": run_text,
    "tokenizer": run_tokenizer,
    "tokens": run_tokens,
    "model": run_model,
    "baselines": run_baselines,
    "evaluation": run_evaluation,
    "generation": run_generation,
}


def _modality_name(stream: str) -> str:
    return stream.removesuffix("_pixels")


def _picture_callback(context: StageContext) -> Callable[[LightningModule, int], None] | None:
    """A function that draws validation predictions into the stage's folder and the tracker; None if there is nothing.

    They are made from RGB, or in an arm without it from the first grid.
    """
    names = list(context.config.arm_modalities(context.stage.run_args["arm"]))
    codec = build_codec(context, names)
    held_out = open_eval_split(context, "validation", names)
    grids = [name for name, item in codec.modalities.items() if isinstance(item.layout, Dense)]
    source = "rgb" if "rgb" in grids else next(iter(grids), None)
    targets = [name for name in context.config.training.pictures_of if name in codec.modalities and name != source]
    if source is None or not targets:
        return None

    def draw_pictures(module: LightningModule, step: int) -> None:
        model = cast(FourMModule, module).model
        picture = validation_sheet(model, codec, held_out, targets, context.config.evaluation, source).image()
        save_picture(context, picture, step)

    return draw_pictures


def _save_model(
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
