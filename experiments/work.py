"""What each kind of stage does. Every function takes a job and leaves its result in the job's folder."""

import json
import logging
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from evaluation.crossentropy import Who, common_inputs
from evaluation.pictures import drawn, validation_sheet, write_drawings
from evaluation.records import write_scores
from evaluation.roundtrip import Baselines, measure_baselines
from evaluation.transfer import measure_model
from experiments.context import (
    TEXT,
    Job,
    codecs_of,
    fingerprints,
    raw_split,
    split_of,
    streams_for,
    text_tokenizer,
    token_store,
    tokenizers,
    trainer_facts,
)
from experiments.tracking import Ledger, RunLogger
from lightning_modules.callbacks import Pictures, Reporter
from lightning_modules.checkpoint import load_model, save_model
from lightning_modules.data.loading import FourMDataModule, row_loader
from lightning_modules.data.raw import RawStore, render_shard
from lightning_modules.data.tokenise import tokenise
from lightning_modules.fourm import FourMModule
from lightning_modules.tokenizer import TokenizerModule
from lightning_modules.tokenizer_folder import Quality, TokenizerCard, save_tokenizer
from modalities.sequences import Prose
from modalities.spec import Provenance, TokenizerTask, tokenizer_tasks
from networks.masking import Masker
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer, codebook_usage

log = logging.getLogger(__name__)

HISTORY = "history.json"
FACTS = "facts.json"


def run_data(job: Job) -> None:
    """Render one shard of scenes."""
    details = job.stage.details
    numbers = range(details["first"], details["end"])
    render_shard(
        job.folder / "raw", job.modalities, details["split"], numbers, lambda done: job.report(done, 0.0, "scenes")
    )
    _lift(job)


def run_text(job: Job) -> None:
    """Learn word pieces from everything that is written in words."""
    names = [name for name, item in job.modalities.items() if isinstance(item, Prose)]
    raw = raw_split(job, "train", names)
    texts = [text for name in names for text in raw[name][:] if text]
    (job.folder / TEXT).write_text(TextTokenizer.train(texts).to_json())


def run_tokenizer(job: Job) -> None:
    """Train one tokenizer, measure it on held-out values, and write its folder."""
    config, name = job.config, job.stage.details["task"]
    task = tokenizer_tasks(job.modalities)[name]
    seed_everything(config.tokenizer_optim.seed, verbose=False)
    training = config.tokenizer_training
    rows, held_out = _rows(job, task, "train", training.max_rows), _rows(job, task, "validation", training.val_rows)
    optim = config.tokenizer_optim
    if name in training.steps:
        optim = _with_steps(job, training.steps[name])
    module = TokenizerModule(task, config.tokenizer, optim)
    logger = _logger(job)
    trainer = Trainer(
        **trainer_facts(config),
        devices=1,
        max_steps=optim.steps,
        logger=logger,
        log_every_n_steps=max(1, optim.steps // 40),
        callbacks=[Reporter(job.report, "images", training.batch_size)],
        precision=cast(Any, training.precision),
        limit_val_batches=0,
    )
    trainer.fit(module, row_loader(rows, training.batch_size, seed=config.tokenizer_optim.seed))
    tokenizer = module.trained.eval().cpu()
    usage = codebook_usage(_encoded(tokenizer, held_out), task.tokenizer.vocab)
    if usage.is_low:
        log.warning("Tokenizer %s uses %.1f %% of its codes: its codebook has collapsed or is too large.", name, 100 * usage.used)
    card = TokenizerCard(
        normalisation="values as Modality.prepare gives them",
        quality=_quality(job, task, tokenizer),
        usage=usage,
        data_fingerprint=raw_split(job, "train", list(task.members)).fingerprint,
        provenance=", ".join(f"{item} {job.modalities[item].provenance.value}" for item in task.members),
        steps=optim.steps,
    )
    save_tokenizer(job.folder / "tokenizer", tokenizer, task, config.tokenizer, card)
    _lift(job, "tokenizer")
    (job.folder / HISTORY).write_text(json.dumps(logger.history))


def run_tokens(job: Job) -> None:
    """Turn one shard of raw values into tokens."""
    raw = RawStore.open([next(path for name, path in job.inputs.items() if name.startswith("data/"))], job.modalities)
    text, learnt_ones = text_tokenizer(job), tokenizers(job, list(job.modalities))
    prints = fingerprints(job.modalities, learnt_ones, job.inputs["text"].name)
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
    data = FourMDataModule(
        token_store(job, "train", streams),
        token_store(job, "validation", streams),
        Masker(streams, config.masking),
        batch_size=config.training.batch_size,
        val_batches=config.training.val_batches,
        num_workers=config.training.num_workers,
        seed=seed,
    )
    logger, width = _logger(job), config.masking.num_inputs + config.masking.num_targets
    callbacks: list[Callback] = [Reporter(job.report, "tokens", config.training.batch_size * width)]
    if config.training.pictures_every:
        callbacks.append(Pictures(config.training.pictures_every, _painter(job)))
    if config.training.compile:
        module.model.compile()
    trainer = Trainer(
        **trainer_facts(config),
        devices=config.executor.devices,
        strategy=config.executor.strategy,
        max_steps=config.steps,
        accumulate_grad_batches=config.training.accumulate,
        logger=logger,
        log_every_n_steps=config.training.log_every,
        val_check_interval=config.training.val_every * config.training.accumulate,
        check_val_every_n_epoch=None,
        limit_val_batches=config.training.val_batches,
        callbacks=callbacks,
        precision=cast(Any, config.training.precision),
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=data)
    _keep_model(job, module, text, logger.history)


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
    common = common_inputs({name: [s for s in everything if _owner(s.name) in config.arm(name)] for name in config.arms})
    model = loaded.model.to("cuda" if torch.cuda.is_available() and config.executor.accelerator != "cpu" else "cpu")
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
}


def _owner(stream: str) -> str:
    return stream.removesuffix("_pixels")


def _lift(job: Job, inner: str = "raw") -> None:
    """Move what a writer of whole folders has made up into the stage's own folder."""
    for path in (job.folder / inner).iterdir():
        path.rename(job.folder / path.name)
    (job.folder / inner).rmdir()


def _logger(job: Job) -> RunLogger:
    uri, run = job.tracking or (None, None)
    return RunLogger(uri, run)


def _with_steps(job: Job, steps: int) -> Any:
    from dataclasses import replace

    optim = job.config.tokenizer_optim
    return replace(optim, steps=steps, warmup_steps=min(optim.warmup_steps, steps // 10))


def _rows(job: Job, task: TokenizerTask, split: str, most: int) -> Tensor:
    """The values of all modalities that share a tokenizer, as it reads them; at most ``most``, evenly from each."""
    raw = raw_split(job, split, list(task.members))
    share = -(-most // len(task.members))
    parts: list[np.ndarray] = []
    for name in task.members:
        count = 0
        for value in raw[name][:]:
            if value is None or count >= share:
                continue
            rows = job.modalities[name].prepare(value)
            parts.append(rows[: share - count])
            count += len(rows)
    rows = np.concatenate(parts)
    return torch.from_numpy(rows.astype(np.int64 if rows.dtype.kind in "iu" else np.float32, copy=False))


@torch.no_grad()
def _encoded(tokenizer: Tokenizer, rows: Tensor) -> Tensor:
    return torch.cat([tokenizer.encode(part) for part in rows.split(256)])


@torch.no_grad()
def _quality(job: Job, task: TokenizerTask, tokenizer: Tokenizer) -> dict[str, Quality]:
    """The round trip by each modality's own metrics, for those whose whole value the tokenizer spells."""
    quality: dict[str, Quality] = {}
    for name in task.members:
        modality = job.modalities[name]
        if modality.data_type != "dense":
            continue
        raw = raw_split(job, "validation", [name])
        values = [value for value in raw[name][: job.config.evaluation.num_samples] if value is not None]
        measures = modality.metrics()
        for start in range(0, len(values), 64):
            truth = values[start : start + 64]
            rows = np.concatenate([modality.prepare(value) for value in truth])
            x = torch.from_numpy(rows.astype(np.int64 if rows.dtype.kind in "iu" else np.float32, copy=False))
            answer = tokenizer.decode(tokenizer.encode(x)).numpy()
            guess = modality.batch([modality.restore(row) for row in answer])
            for measure in measures.values():
                measure.metric.update(guess, modality.batch(truth))
        for key, measure in measures.items():
            value = float(measure.metric.compute())
            quality[f"{name}/{key}"] = Quality(value=value, unit=measure.unit, higher_is_better=measure.higher_is_better)
    return quality


def _painter(job: Job) -> Callable[[LightningModule, int], None]:
    """A function that draws validation predictions into the job's folder and into the ledger."""
    codecs = codecs_of(job, list(job.config.arm(job.stage.details["arm"])))
    held_out = split_of(job, "validation", codecs)
    targets = [name for name in job.config.training.pictures_of if name in codecs.modalities]

    def paint(module: LightningModule, step: int) -> None:
        model = cast(FourMModule, module).trained
        picture = validation_sheet(model, codecs, held_out, targets, job.config.evaluation).image()
        folder = job.folder / "pictures"
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"step-{step:07d}.png")
        if job.tracking is not None:
            Ledger(job.tracking[0], job.config.tracking.experiment).picture(job.tracking[1], "validation", picture, step)

    return paint


def _keep_model(job: Job, module: FourMModule, text: TextTokenizer, history: Any) -> None:
    names = job.config.arm(job.stage.details["arm"])
    learnt_ones = tokenizers(job, names)
    chosen = {name: job.modalities[name] for name in names}
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
        fingerprints=fingerprints(chosen, learnt_ones, job.inputs["text"].name),
        tokenizers={name: job.inputs[f"tokenizer/{name}"] for name in learnt_ones},
        card=card,
    )
    _lift(job, "model")
    (job.folder / HISTORY).write_text(json.dumps(history))
    (job.folder / FACTS).write_text(json.dumps(card))
