"""The stage that trains one tokenizer, measures it on held-out values, and writes its folder."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning import Trainer, seed_everything
from torch import Tensor

from experiments.context import (
    HISTORY,
    Job,
    device_for,
    left_alone,
    lift,
    logger_of,
    raw_split,
    strategy_of,
    trainer_facts,
)
from experiments.resume import resumption_of
from experiments.start import start_of
from lightning_modules.callbacks import Reporter
from lightning_modules.checkpoint import TOKENIZERS
from lightning_modules.data.loading import RowDataModule
from lightning_modules.data.tokenise import encode_rows
from lightning_modules.tokenizer import TokenizerModule, TokenizerOptimConfig
from lightning_modules.tokenizer_folder import Quality, TokenizerCard, save_tokenizer
from modalities.spec import TokenizerTask, tokenizer_tasks
from networks.devices import device_of
from networks.tokenizers.tokenizer import Tokenizer, codebook_usage

log = logging.getLogger(__name__)


def run_tokenizer(job: Job) -> None:
    """Train one tokenizer, measure it on held-out values, and write its folder."""
    config, name = job.config, job.stage.details["task"]
    task = tokenizer_tasks(job.modalities)[name]
    start = start_of(config.training.start_from, {name: task})
    if start and name in start.tokenizers:
        _taken(job, start.folder / TOKENIZERS / name)
        return
    seed_everything(config.tokenizer_optim.seed, verbose=False)
    training = config.tokenizer_training
    rows, held_out = _rows(job, task, "train", training.max_rows), _rows(job, task, "validation", training.val_rows)
    optim = config.tokenizer_optim
    if name in training.steps:
        optim = _with_steps(job, training.steps[name])
    module = TokenizerModule(task, config.tokenizer, optim)
    logger = logger_of(job)
    going_on = resumption_of(job, module, logger)
    trainer = Trainer(
        **trainer_facts(config),
        devices=training.devices,
        strategy=strategy_of(config, training.devices),
        max_steps=optim.steps,
        logger=logger,
        log_every_n_steps=max(1, optim.steps // 40),
        callbacks=[going_on.callback, Reporter(job.report, "images", training.batch_size)],
        plugins=going_on.plugin,
        precision=cast(Any, training.precision),
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    data = RowDataModule(rows, training.batch_size, world_size=trainer.world_size, seed=optim.seed)
    trainer.fit(module, datamodule=data, ckpt_path=going_on.path)
    if not left_alone(trainer):
        return
    tokenizer = module.trained.eval().to(device_for(config))
    usage = codebook_usage(torch.from_numpy(encode_rows(tokenizer, held_out.numpy())), task.tokenizer.vocab)
    if usage.is_low:
        log.warning(
            "Tokenizer %s uses %.1f %% of its codes: its codebook has collapsed or is too large.",
            name,
            100 * usage.used,
        )
    card = TokenizerCard(
        normalisation="values as Modality.prepare gives them",
        quality=_quality(job, task, tokenizer),
        usage=usage,
        data_fingerprint=raw_split(job, "train", list(task.members)).fingerprint,
        provenance=", ".join(f"{item} {job.modalities[item].provenance.value}" for item in task.members),
        steps=optim.steps,
    )
    save_tokenizer(job.folder / "tokenizer", tokenizer, task, config.tokenizer, card)
    lift(job, "tokenizer")
    (job.folder / HISTORY).write_text(json.dumps(logger.history))


def _taken(job: Job, folder: Path) -> None:
    """Take a tokenizer as it is from the model that the run starts from."""
    for path in folder.iterdir():
        shutil.copy(path, job.folder / path.name)
    (job.folder / HISTORY).write_text("{}")


def _with_steps(job: Job, steps: int) -> TokenizerOptimConfig:
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
            answer = tokenizer.decode(tokenizer.encode(x.to(device_of(tokenizer)))).float().cpu().numpy()
            guess = modality.batch([modality.restore(row) for row in answer])
            for measure in measures.values():
                measure.metric.update(guess, modality.batch(truth))
        for key, measure in measures.items():
            value = float(measure.metric.compute())
            quality[f"{name}/{key}"] = Quality(
                value=value, unit=measure.unit, higher_is_better=measure.higher_is_better
            )
    return quality
