"""Stage kind ``tokenizer``: one learned tokenizer, trained and measured on held-out values."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning import Trainer, seed_everything
from torch import Tensor
from torchmetrics import MetricCollection

from experiments.schema.experiment import ExperimentConfig
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext, move_contents_up
from experiments.stages.inputs import inference_device, open_raw_split
from experiments.stages.plan import Stage
from experiments.stages.training import (
    HISTORY_FILE,
    base_trainer_kwargs,
    build_run_logger,
    leave_process_group,
    lightning_strategy,
    prepare_resume,
)
from lightning_modules.callbacks.progress import ProgressReporter
from lightning_modules.checkpoints.model import TOKENIZERS_FOLDER
from lightning_modules.checkpoints.tokenizer import (
    CARD_FILE,
    CARD_MARKDOWN_FILE,
    CONFIG_FILE,
    QualityMetric,
    TokenizerCard,
    save_tokenizer,
)
from lightning_modules.checkpoints.warm_start import load_warm_start
from lightning_modules.data.loading import RowDataModule
from lightning_modules.optim import TokenizerOptimConfig
from lightning_modules.tokenizer import TokenizerModule
from modalities.metrics.reconstruction import default_reconstruction_metrics
from modalities.spec import Modality, SequenceModality, describe_normalizations, tokenizer_tasks
from modalities.storage.serialization import to_plain
from modalities.tokenizer_specs import TokenizerTask
from networks.device import module_device
from networks.tokenizers.codec import encode_rows
from networks.tokenizers.tokenizer import Tokenizer, codebook_usage

log = logging.getLogger(__name__)

ROUND_TRIP_BATCH = 64
"""Rows in one round trip."""


class TokenizerStage(StageKind):
    """Trains one tokenizer."""

    kind = "tokenizer"
    artifacts = (CARD_FILE, CARD_MARKDOWN_FILE, CONFIG_FILE)

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one training for each tokenizer that the modalities need."""
        config, start = context.config, context.warm_start
        for name, task in tokenizer_tasks(context.modalities).items():
            steps = config.tokenizer_training.steps.get(name, config.tokenizer_optim.steps)
            params = {
                "task": to_plain(task),
                "config": to_plain(config.tokenizer),
                "optim": to_plain(config.tokenizer_optim),
                # The steps of other tokenizers do not decide this one.
                "training": {**to_plain(config.tokenizer_training), "steps": steps},
            }
            if start and name in start.tokenizer_fingerprints:
                params = {"start": start.tokenizer_fingerprints[name]}
            yield self.stage(
                f"tokenizer/{name}",
                params,
                inputs=context.names("data"),
                read_modalities=task.members,
                run_args={"task": name},
                cost=20.0,
            )

    def run(self, context: StageContext) -> None:
        """Train the tokenizer, or copy the warm start's, and write its folder."""
        config, name = context.config, context.stage.run_args["task"]
        task = tokenizer_tasks(context.modalities)[name]
        start = load_warm_start(config.training.start_from, {name: task})
        if start and name in start.tokenizer_fingerprints:
            _copy_tokenizer(context, start.folder / TOKENIZERS_FOLDER / name)
            return
        seed_everything(config.tokenizer_optim.seed, verbose=False)
        training = config.tokenizer_training
        rows, held_out = (
            _load_rows(context, task, "train", training.max_rows),
            _load_rows(context, task, "validation", training.val_rows),
        )
        optim = config.tokenizer_optim
        if name in training.steps:
            optim = _with_steps(context, training.steps[name])
        module = TokenizerModule(task, config.tokenizer, optim)
        logger = build_run_logger(context)
        resume_state = prepare_resume(context, module, logger)
        trainer = Trainer(
            **base_trainer_kwargs(config),
            devices=training.devices,
            strategy=lightning_strategy(config, training.devices),
            max_steps=optim.steps,
            logger=logger,
            log_every_n_steps=max(1, optim.steps // 40),
            callbacks=[resume_state.callback, ProgressReporter(context.report_progress, "images", training.batch_size)],
            plugins=resume_state.plugin,
            precision=cast(Any, training.precision),
            limit_val_batches=0,
            use_distributed_sampler=False,
        )
        data = RowDataModule(rows, training.batch_size, world_size=trainer.world_size, seed=optim.seed)
        trainer.fit(module, datamodule=data, ckpt_path=resume_state.path)
        if not leave_process_group(trainer):
            return
        tokenizer = module.tokenizer.eval().to(inference_device(config))
        usage = codebook_usage(torch.from_numpy(encode_rows(tokenizer, held_out.numpy())), task.tokenizer.vocab_size)
        if usage.is_collapsed:
            log.warning(
                "Tokenizer %s uses %.1f %% of its codes: its codebook has collapsed or is too large.",
                name,
                100 * usage.used,
            )
        card = TokenizerCard(
            normalization=describe_normalizations({member: context.modalities[member] for member in task.members}),
            quality=_reconstruction_quality(context, task, tokenizer),
            usage=usage,
            data_fingerprint=open_raw_split(context, "train", list(task.members)).fingerprint,
            provenance=", ".join(f"{item} {context.modalities[item].provenance.value}" for item in task.members),
            steps=optim.steps,
        )
        save_tokenizer(context.folder / "tokenizer", tokenizer, task, config.tokenizer, card)
        move_contents_up(context, "tokenizer")
        (context.folder / HISTORY_FILE).write_text(json.dumps(logger.history))

    def devices(self, config: ExperimentConfig) -> int:
        """``tokenizer_training.devices``."""
        return config.tokenizer_training.devices


def _copy_tokenizer(context: StageContext, folder: Path) -> None:
    """Take a tokenizer as it is from the model that the run starts from."""
    for path in folder.iterdir():
        shutil.copy(path, context.folder / path.name)
    (context.folder / HISTORY_FILE).write_text("{}")


def _with_steps(context: StageContext, steps: int) -> TokenizerOptimConfig:
    optim = context.config.tokenizer_optim
    return replace(optim, steps=steps, warmup_steps=min(optim.warmup_steps, steps // 10))


def _load_rows(context: StageContext, task: TokenizerTask, split: str, max_rows: int) -> Tensor:
    """The values of all modalities that share a tokenizer, as it reads them; at most ``most``, evenly from each."""
    rows_per_member = -(-max_rows // len(task.members))
    return _to_tensor(
        [part for name in task.members for part in _preprocessed_rows(context, name, split, rows_per_member)]
    )


def _preprocessed_rows(context: StageContext, name: str, split: str, max_rows: int) -> list[np.ndarray]:
    """What one modality prepares of each of its values, at most ``most`` rows in all."""
    parts: list[np.ndarray] = []
    count = 0
    for value in open_raw_split(context, split, [name])[name][:]:
        if value is None or count >= max_rows:
            continue
        rows = context.modalities[name].preprocess(value)
        parts.append(rows[: max_rows - count])
        count += len(rows)
    return parts


def _to_tensor(parts: list[np.ndarray]) -> Tensor:
    rows = np.concatenate(parts)
    return torch.from_numpy(rows.astype(np.int64 if rows.dtype.kind in "iu" else np.float32, copy=False))


@torch.no_grad()
def _reconstruction_quality(
    context: StageContext, task: TokenizerTask, tokenizer: Tokenizer
) -> dict[str, QualityMetric]:
    """The round trip of held-out values: by the modality's own metrics, or of rows where they are parts of a value."""
    quality: dict[str, QualityMetric] = {}
    for name in task.members:
        modality = context.modalities[name]
        if isinstance(modality, SequenceModality):
            metrics = _row_metrics(context, modality, tokenizer)
        else:
            metrics = _value_metrics(context, modality, tokenizer)
        for key, metric in metrics.items() if metrics is not None else ():
            quality[f"{name}/{key}"] = QualityMetric(
                value=float(metric.compute()), unit=str(metric.unit), higher_is_better=bool(metric.higher_is_better)
            )
    return quality


def _value_metrics(context: StageContext, modality: Modality, tokenizer: Tokenizer) -> MetricCollection:
    """The modality's metrics, fed with whole values."""
    raw = open_raw_split(context, "validation", [modality.name])
    values = [value for value in raw[modality.name][: context.config.evaluation.num_samples] if value is not None]
    metrics = modality.metrics()
    for start in range(0, len(values), ROUND_TRIP_BATCH):
        targets = values[start : start + ROUND_TRIP_BATCH]
        reconstruction = _round_trip(tokenizer, _to_tensor([modality.preprocess(value) for value in targets])).numpy()
        predictions = modality.collate([modality.postprocess(row) for row in reconstruction])
        metrics.update(predictions, modality.collate(targets))
    return metrics


def _row_metrics(context: StageContext, modality: SequenceModality, tokenizer: Tokenizer) -> MetricCollection | None:
    """The modality's metrics of rows, fed with the parts of its values; none where no held-out value has any."""
    parts = _preprocessed_rows(context, modality.name, "validation", context.config.tokenizer_training.val_rows)
    if not any(len(part) for part in parts):
        return None
    metrics = modality.reconstruction_metrics() or default_reconstruction_metrics()
    for rows in _to_tensor(parts).split(ROUND_TRIP_BATCH):
        reconstruction = _round_trip(tokenizer, rows)
        metrics.update(reconstruction, rows.float())
    return metrics


def _round_trip(tokenizer: Tokenizer, rows: Tensor) -> Tensor:
    return tokenizer.decode(tokenizer.encode(rows.to(module_device(tokenizer)))).float().cpu()
