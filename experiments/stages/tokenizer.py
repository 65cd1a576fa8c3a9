"""Stage kind ``tokenizer``: one learned tokenizer, trained and measured on held-out values."""

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from lightning import Trainer, seed_everything

from evaluation.references.tokenizer_quality import TokenizerQuality, measure_tokenizer
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import inference_device, open_raw_split
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
from lightning_modules.checkpoints.tokenizer import (
    CARD_FILE,
    CARD_MARKDOWN_FILE,
    CONFIG_FILE,
    TokenizerCard,
    describe_normalizations,
    save_tokenizer,
    tokenizer_config_dict,
)
from lightning_modules.checkpoints.warm_start import load_warm_start
from lightning_modules.data.loading import RowDataModule
from lightning_modules.data.rows import StreamedRows
from lightning_modules.tokenizer import TokenizerModule
from modalities.spec import tokenizer_tasks
from modalities.tokenizer_specs import TokenizerTask

log = logging.getLogger(__name__)

History = dict[str, list[tuple[int, float]]]
"""Logged metrics by name, as (step, value)."""


class TokenizerStage(StageKind):
    """Trains one tokenizer."""

    kind = "tokenizer"
    artifacts = (CARD_FILE, CARD_MARKDOWN_FILE, CONFIG_FILE)

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one training for each tokenizer that the modalities need."""
        config, start = context.config, context.warm_start
        for name, task in tokenizer_tasks(context.modalities).items():
            steps = config.tokenizer_training.steps.get(name, config.tokenizer_optim.steps)
            settings = context.params("tokenizer_optim", "tokenizer_training")
            del settings["tokenizer_training"]["num_workers"]
            params = {
                **tokenizer_config_dict(task, config.tokenizer),
                "optim": settings["tokenizer_optim"],
                # The steps of other tokenizers do not decide this one.
                "training": {**settings["tokenizer_training"], "steps": steps},
            }
            if start and name in start.tokenizer_fingerprints:
                params = {"start": start.tokenizer_fingerprints[name]}
            yield self.stage(
                f"tokenizer/{name}",
                params,
                inputs=context.names("data"),
                read_modalities=task.members,
                run_args={"task": name},
                cost=1.0 + 1.2e-3 * steps * config.tokenizer_training.batch_size,
            )

    def run(self, context: StageContext) -> None:
        """Train the tokenizer, or copy the warm start's, and write its folder."""
        name = context.stage.run_args["task"]
        task = tokenizer_tasks(context.modalities)[name]
        start = load_warm_start(context.config.training.start_from, {name: task})
        if start and name in start.tokenizer_fingerprints:
            _copy_tokenizer(context, start.tokenizer_folder(name))
            return
        trained = _train(context, task)
        if trained is None:
            return
        module, history = trained
        tokenizer = module.tokenizer.eval().to(inference_device(context.config))
        quality = measure_tokenizer(
            tokenizer,
            task.tokenizer.vocab_size,
            open_raw_split(context, "validation", task.members),
            num_rows=context.config.tokenizer_training.val_rows,
            num_values=context.config.evaluation.num_samples,
        )
        card = _card(context, task, quality, module.optim.steps)
        save_tokenizer(context.folder, tokenizer, task, context.config.tokenizer, card)
        (context.folder / HISTORY_FILE).write_text(json.dumps(history))

    def devices(self, config: ExperimentConfig) -> int:
        """``tokenizer_training.devices``."""
        return config.tokenizer_training.devices


def _train(context: StageContext, task: TokenizerTask) -> tuple[TokenizerModule, History] | None:
    """Train, and give the logged metrics; None in a process other than the first."""
    config, training = context.config, context.config.tokenizer_training
    optim = context.config.tokenizer_optim.with_steps(context.config.tokenizer_training.steps.get(task.name))
    seed_everything(optim.seed, verbose=False)
    rows = StreamedRows(open_raw_split(context, "train", task.members), training.max_rows, context.folder)
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
        callbacks=[resume_state.callback, *progress_callbacks(context, "images", training.batch_size)],
        plugins=resume_state.plugin,
        precision=cast(Any, training.precision),
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    data = RowDataModule(
        rows,
        training.batch_size,
        world_size=trainer.world_size,
        num_workers=training.num_workers,
        seed=optim.seed,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume_state.path)
    return (module, logger.history) if leave_process_group(trainer) else None


def _card(context: StageContext, task: TokenizerTask, quality: TokenizerQuality, steps: int) -> TokenizerCard:
    """Make the tokenizer's card, and warn of a codebook that is hardly used."""
    if quality.usage is None:
        log.warning("Tokenizer %s is not measured: no held-out sample has %s.", task.name, " or ".join(task.members))
    elif quality.usage.is_collapsed:
        log.warning(
            "Tokenizer %s uses %.1f %% of its codes: its codebook has collapsed or is too large.",
            task.name,
            100 * quality.usage.used,
        )
    members = {name: context.modalities[name] for name in task.members}
    return TokenizerCard(
        normalization=describe_normalizations(members),
        quality=quality.metrics,
        usage=quality.usage,
        data_fingerprint=open_raw_split(context, "train", task.members).fingerprint,
        provenance=", ".join(f"{name} {item.provenance.value}" for name, item in members.items()),
        steps=steps,
    )


def _copy_tokenizer(context: StageContext, folder: Path) -> None:
    """Take a tokenizer as it is from the model that the run starts from."""
    for path in folder.iterdir():
        shutil.copy(path, context.folder / path.name)
    (context.folder / HISTORY_FILE).write_text("{}")
