"""What each kind of stage does. Every function takes a job and leaves its result in the job's folder."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lightning import Callback, LightningModule, Trainer, seed_everything

from evaluation.crossentropy import Who, common_inputs
from evaluation.pictures import drawn, validation_sheet, write_drawings
from evaluation.records import write_scores
from evaluation.roundtrip import Baselines, measure_baselines
from evaluation.transfer import measure_model
from experiments.context import (
    HISTORY,
    TEXT,
    Job,
    codecs_of,
    device_for,
    fingerprints,
    left_alone,
    lift,
    logger_of,
    raw_split,
    split_of,
    strategy_of,
    streams_for,
    text_tokenizer,
    token_store,
    tokenizers,
    trainer_facts,
)
from experiments.exhibits import run_generation
from experiments.planning import needs
from experiments.resolutions import variant_of
from experiments.resume import keep_picture, resumption_of
from experiments.start import start_of
from experiments.tokenizer_stage import run_tokenizer
from lightning_modules.callbacks import Pictures, Reporter
from lightning_modules.checkpoint import load_model, save_model
from lightning_modules.data.loading import FourMDataModule
from lightning_modules.data.raw import RawStore, render_shard
from lightning_modules.data.tokenise import tokenise
from lightning_modules.fourm import FourMModule
from modalities.errors import CheckpointError
from modalities.sequences import Prose
from modalities.spec import Dense, Provenance
from networks.adopt import adopt
from networks.masking import Masker
from networks.tokenizers.text import TextTokenizer

log = logging.getLogger(__name__)

FACTS = "facts.json"


def run_data(job: Job) -> None:
    """Render one shard of scenes."""
    details = job.stage.details
    numbers = range(details["first"], details["end"])
    render_shard(
        job.folder / "raw", job.modalities, details["split"], numbers, lambda done: job.report(done, 0.0, "scenes")
    )
    lift(job)


def run_text(job: Job) -> None:
    """Learn word pieces from everything that is written in words."""
    start = start_of(job.config.training.start_from, {})
    if start and start.text:
        shutil.copy(start.folder / TEXT, job.folder / TEXT)
        return
    names = [name for name, item in job.modalities.items() if isinstance(item, Prose)]
    raw = raw_split(job, "train", names)
    texts = [text for name in names for text in raw[name][:] if text]
    (job.folder / TEXT).write_text(TextTokenizer.train(texts).to_json())


def run_tokens(job: Job) -> None:
    """Turn one shard of raw values into tokens."""
    raw = RawStore.open([next(path for name, path in job.inputs.items() if name.startswith("data/"))], job.modalities)
    text, learnt_ones = text_tokenizer(job), tokenizers(job, list(job.modalities))
    prints = fingerprints(job, list(job.modalities))
    tokenise(
        job.folder,
        raw,
        {name: item.tokenizer for name, item in learnt_ones.items()},
        text,
        prints,
        first=job.stage.details["first"],
        progress=lambda done: job.report(done, 0.0, "modalities"),
    )


def run_model(job: Job) -> None:
    """Train one 4M model."""
    config, arm, seed = job.config, job.stage.details["arm"], job.stage.details["seed"]
    names, text = config.arm(arm), text_tokenizer(job)
    streams = streams_for(job, names, text)
    seed_everything(seed, verbose=False)
    module = FourMModule(streams, config.model, config.optim)
    _start(job, module)
    data = FourMDataModule(
        token_store(job, "train", streams),
        token_store(job, "validation", streams),
        Masker(streams, config.masking),
        batch_size=config.training.batch_size,
        val_batches=config.training.val_batches,
        num_workers=config.training.num_workers,
        seed=seed,
    )
    logger, width = logger_of(job), config.masking.num_inputs + config.masking.num_targets
    going_on = resumption_of(job, module, logger)
    callbacks: list[Callback] = [going_on.callback, Reporter(job.report, "tokens", config.training.batch_size * width)]
    if config.training.pictures_every and (paint := _painter(job)):
        callbacks.append(Pictures(config.training.pictures_every, paint))
    if config.training.compile:
        module.model.compile_blocks()
    trainer = Trainer(
        **trainer_facts(config),
        devices=config.executor.devices,
        strategy=strategy_of(config, config.executor.devices),
        max_steps=config.steps,
        accumulate_grad_batches=config.training.accumulate,
        logger=logger,
        log_every_n_steps=config.training.log_every,
        val_check_interval=config.training.val_every * config.training.accumulate,
        check_val_every_n_epoch=None,
        limit_val_batches=config.training.val_batches,
        callbacks=callbacks,
        plugins=going_on.plugin,
        precision=cast(Any, config.training.precision),
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=data, ckpt_path=going_on.path)
    if left_alone(trainer):
        _keep_model(job, module, text, logger.history, going_on.earlier_seconds)


def _start(job: Job, module: FourMModule) -> None:
    """Begin from another model's weights, where the config says so, and say what does not fit."""
    place = job.config.training.start_from
    if place is None:
        return
    found = adopt(module.model, load_model(Path(place)).model)
    if not found.taken:
        raise CheckpointError(f"No weight of training.start_from={place} fits this run's model: set model.size to its.")
    if module.averaged is not None:
        module.averaged.module.load_state_dict(module.model.state_dict())
    log.warning("%s starts from %s: %s.", job.stage.name, place, found)


def run_baselines(job: Job) -> None:
    """Measure every bound and chance level."""
    codecs = codecs_of(job, list(job.modalities))
    train, held_out = split_of(job, "train", codecs), split_of(job, "validation", codecs)
    measure_baselines(codecs, train, held_out, job.config.evaluation).save(job.folder)


def run_evaluation(job: Job) -> None:
    """Measure one model."""
    config, arm, seed = job.config, job.stage.details["arm"], job.stage.details["seed"]
    loaded = load_model(job.inputs[f"model/{arm}/{seed}"])
    codecs = codecs_of(job, list(config.arm(arm)))
    everything = streams_for(job, list(job.modalities), text_tokenizer(job))
    common = common_inputs(
        {name: [s for s in everything if _owner(s.name) in config.arm(name)] for name in config.arms}
    )
    model = loaded.model.to(device_for(config))
    measured = measure_model(
        model,
        codecs,
        split_of(job, "validation", codecs),
        Baselines.load(job.inputs["baselines"]),
        common,
        Who(arm=arm, seed=seed),
        config.evaluation,
    )
    write_scores(job.folder / "scores.json", measured.scores)
    write_drawings(job.folder / "drawings.json", drawn(codecs, measured.predictions))


RUNNERS: dict[str, Callable[[Job], None]] = {
    "data": run_data,
    "text": run_text,
    "tokenizer": run_tokenizer,
    "tokens": run_tokens,
    "model": run_model,
    "baselines": run_baselines,
    "evaluation": run_evaluation,
    "generation": run_generation,
}


def _owner(stream: str) -> str:
    return stream.removesuffix("_pixels")


def _painter(job: Job) -> Callable[[LightningModule, int], None] | None:
    """A function that draws validation predictions into the job's folder and into the ledger; None if there is nothing.

    They are made from RGB, or in an arm without it from the first grid.
    """
    codecs = codecs_of(job, list(job.config.arm(job.stage.details["arm"])))
    held_out = split_of(job, "validation", codecs)
    grids = [name for name, item in codecs.modalities.items() if isinstance(item.layout, Dense)]
    source = "rgb" if "rgb" in grids else next(iter(grids), None)
    targets = [name for name in job.config.training.pictures_of if name in codecs.modalities and name != source]
    if source is None or not targets:
        return None

    def paint(module: LightningModule, step: int) -> None:
        model = cast(FourMModule, module).trained
        picture = validation_sheet(model, codecs, held_out, targets, job.config.evaluation, source).image()
        keep_picture(job, picture, step)

    return paint


def _keep_model(job: Job, module: FourMModule, text: TextTokenizer, history: Any, earlier_seconds: float) -> None:
    names = job.config.arm(job.stage.details["arm"])
    proxies = [name for name in names if job.modalities[name].provenance is Provenance.proxy]
    card = {
        "arm": job.stage.details["arm"],
        "seed": job.stage.details["seed"],
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "tokens_seen": module.tokens_seen,
        "steps": job.config.steps,
        "data": f"{job.config.data.train} procedural scenes of {job.config.scale.size} pixels",
        "proxies": proxies,
    }
    save_model(
        job.folder / "model",
        module.trained.cpu(),
        modalities=names,
        scale=job.config.scale,
        text=text,
        fingerprints=fingerprints(job, names),
        tokenizers={name: job.inputs[f"tokenizer/{name}"] for name in needs(job.modalities, names)},
        card=card,
        variants={
            name: variant_of(job.config.resolutions[name], job.modalities[name])
            for name in names
            if name in job.config.resolutions
        },
    )
    lift(job, "model")
    (job.folder / HISTORY).write_text(json.dumps(history))
    (job.folder / FACTS).write_text(json.dumps({**card, "earlier_seconds": earlier_seconds}))
