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
from modalities.row_metrics import row_measures
from modalities.spec import Measure, Modality, SequenceModality, TokenizerTask, normalisations, tokenizer_tasks
from networks.devices import device_of
from networks.tokenizers.tokenizer import Tokenizer, codebook_usage

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Rows in one round trip."""


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
        normalisation=normalisations({member: job.modalities[member] for member in task.members}),
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
    share = -(-most // len(task.members))
    return _tensor([part for name in task.members for part in _parts(job, name, split, share)])


def _parts(job: Job, name: str, split: str, most: int) -> list[np.ndarray]:
    """What one modality prepares of each of its values, at most ``most`` rows in all."""
    parts: list[np.ndarray] = []
    count = 0
    for value in raw_split(job, split, [name])[name][:]:
        if value is None or count >= most:
            continue
        rows = job.modalities[name].prepare(value)
        parts.append(rows[: most - count])
        count += len(rows)
    return parts


def _tensor(parts: list[np.ndarray]) -> Tensor:
    rows = np.concatenate(parts)
    return torch.from_numpy(rows.astype(np.int64 if rows.dtype.kind in "iu" else np.float32, copy=False))


@torch.no_grad()
def _quality(job: Job, task: TokenizerTask, tokenizer: Tokenizer) -> dict[str, Quality]:
    """The round trip of held-out values: by the modality's own metrics, or of rows where they are parts of a value."""
    quality: dict[str, Quality] = {}
    for name in task.members:
        modality = job.modalities[name]
        if isinstance(modality, SequenceModality):
            measures = _row_quality(job, modality, tokenizer)
        else:
            measures = _value_quality(job, modality, tokenizer)
        for key, measure in measures.items():
            value = float(measure.metric.compute())
            quality[f"{name}/{key}"] = Quality(
                value=value, unit=measure.unit, higher_is_better=measure.higher_is_better
            )
    return quality


def _value_quality(job: Job, modality: Modality, tokenizer: Tokenizer) -> dict[str, Measure]:
    """The modality's metrics, fed with whole values."""
    raw = raw_split(job, "validation", [modality.name])
    values = [value for value in raw[modality.name][: job.config.evaluation.num_samples] if value is not None]
    measures = modality.metrics()
    for start in range(0, len(values), AT_ONCE):
        truth = values[start : start + AT_ONCE]
        answer = _round_trip(tokenizer, _tensor([modality.prepare(value) for value in truth])).numpy()
        guess = modality.batch([modality.restore(row) for row in answer])
        for measure in measures.values():
            measure.metric.update(guess, modality.batch(truth))
    return measures


def _row_quality(job: Job, modality: SequenceModality, tokenizer: Tokenizer) -> dict[str, Measure]:
    """The modality's metrics of rows, fed with the parts of its values; none where no held-out value has any."""
    parts = _parts(job, modality.name, "validation", job.config.tokenizer_training.val_rows)
    if not any(len(part) for part in parts):
        return {}
    measures = modality.row_measures() or row_measures()
    for rows in _tensor(parts).split(AT_ONCE):
        answer = _round_trip(tokenizer, rows)
        for measure in measures.values():
            measure.metric.update(answer, rows.float())
    return measures


def _round_trip(tokenizer: Tokenizer, rows: Tensor) -> Tensor:
    return tokenizer.decode(tokenizer.encode(rows.to(device_of(tokenizer)))).float().cpu()
