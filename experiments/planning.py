"""The plan of an experiment: its stages, and what decides the result of each."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.config import ExperimentConfig
from experiments.stages import Column, Plan, Stage
from experiments.start import Start, start_of
from lightning_modules.records import to_plain
from modalities.sequences import Prose
from modalities.spec import Modality, SequenceModality, learnt, tokenizer_tasks


def plan_of(config: ExperimentConfig, modalities: Mapping[str, Modality]) -> Plan:
    """Every stage of an experiment but the report.

    Data and tokenizers cover the modalities of all arms and are made once; a model is made for each arm and seed. A
    modality more or less makes data and tokens anew, but no tokenizer and no model that has nothing to do with it.
    """
    facts = {
        name: [type(item).__qualname__, to_plain(item), *sources_of(type(item))] for name, item in modalities.items()
    }
    start = start_of(config.training.start_from, tokenizer_tasks(modalities))
    stages = [*_data(config, facts), *_tokenizers(config, modalities, start)]
    tokenizers = tuple(stage.name for stage in stages if stage.kind in ("text", "tokenizer"))
    tokens: list[Stage] = []
    for stage in stages:
        if stage.kind == "data":
            name = stage.name.replace("data", "tokens", 1)
            tokens.append(
                Stage(
                    kind="tokens",
                    name=name,
                    facts={},
                    inputs=(stage.name, *tokenizers),
                    columns={key: Column(inputs=_tokenizers_of(modalities, [key])) for key in modalities},
                    details=stage.details,
                    cost=stage.cost * 0.5,
                )
            )
    stages += tokens
    made = tuple(stage.name for stage in tokens)
    data = tuple(stage.name for stage in stages if stage.kind == "data")
    stages.append(
        Stage(
            kind="baselines",
            name="baselines",
            facts={"evaluation": _measured(config), "cut_heads": config.training.cut_heads},
            inputs=(*data, *made, *tokenizers),
            cost=50.0,
        )
    )
    common = sorted(set.intersection(*[set(config.arm(name)) for name in config.arms]))
    for seed in config.seeds:
        for arm in config.arms:
            stages += _model(config, modalities, arm, seed, made, data, tokenizers, common, start)
    return Plan(Path(config.root).absolute(), stages)


def _data(config: ExperimentConfig, facts: Mapping[str, Any]) -> list[Stage]:
    stages: list[Stage] = []
    for split, count in (("train", config.data.train), ("validation", config.data.validation)):
        for shard, first in enumerate(range(0, count, config.data.shard)):
            numbers = [first, min(first + config.data.shard, count)]
            stages.append(
                Stage(
                    kind="data",
                    name=f"data/{split}/{shard:04d}",
                    facts={"split": split, "numbers": numbers},
                    columns={name: Column(facts=told) for name, told in facts.items()},
                    details={"split": split, "first": numbers[0], "end": numbers[1]},
                    cost=(numbers[1] - numbers[0]) * 0.02,
                )
            )
    return stages


def _tokenizers(config: ExperimentConfig, modalities: Mapping[str, Modality], start: Start | None) -> list[Stage]:
    shards = _data(config, {})
    train = tuple(stage.name for stage in shards if stage.details["split"] == "train")
    both = tuple(stage.name for stage in shards)
    prose = tuple(sorted(name for name, item in modalities.items() if isinstance(item, Prose)))
    text = {"start": start.text} if start and start.text else {"modalities": prose}
    stages = [Stage(kind="text", name="text", facts=text, inputs=train, reads=prose, cost=30.0)]
    for name, task in tokenizer_tasks(modalities).items():
        steps = config.tokenizer_training.steps.get(name, config.tokenizer_optim.steps)
        facts = {
            "task": to_plain(task),
            "config": to_plain(config.tokenizer),
            "optim": to_plain(config.tokenizer_optim),
            # Steps of other tokenizers are none of this one's business.
            "training": {**to_plain(config.tokenizer_training), "steps": steps},
        }
        if start and name in start.tokenizers:
            facts = {"start": start.tokenizers[name]}
        stages.append(
            Stage(
                kind="tokenizer",
                name=f"tokenizer/{name}",
                facts=facts,
                inputs=both,
                reads=task.members,
                details={"task": name},
                cost=20.0,
            )
        )
    return stages


def _model(
    config: ExperimentConfig,
    modalities: Mapping[str, Modality],
    arm: str,
    seed: int,
    tokens: tuple[str, ...],
    data: tuple[str, ...],
    tokenizers: tuple[str, ...],
    common: list[str],
    start: Start | None,
) -> list[Stage]:
    held_out = tuple(name for name in data if name.startswith("data/validation"))
    training = {
        "modalities": list(config.arm(arm)),
        "seed": seed,
        "model": to_plain(config.model),
        "masking": to_plain(config.masking),
        "optim": to_plain(config.optim),
        # What the folder holds decides, not where it lies; interruptions change no result.
        "training": {
            **{name: value for name, value in to_plain(config.training).items() if name != "checkpoint_minutes"},
            "start_from": start.weights if start else None,
        },
        "devices": config.executor.devices,
    }
    details = {"arm": arm, "seed": seed}
    model = Stage(
        kind="model",
        name=f"model/{arm}/{seed}",
        facts=training,
        inputs=(*held_out, *tokens, *dict.fromkeys(("text", *_tokenizers_of(modalities, config.arm(arm))))),
        reads=tuple(config.arm(arm)),
        details=details,
        cost=1000.0,
    )
    evaluation = Stage(
        kind="evaluation",
        name=f"evaluation/{arm}/{seed}",
        facts={"evaluation": _measured(config), "common": common},
        inputs=(model.name, "baselines", *data, *tokens, *tokenizers),
        details=details,
        cost=100.0,
    )
    if seed != config.seeds[0] or not config.evaluation.num_generated:
        return [model, evaluation]
    generation = Stage(
        kind="generation",
        name=f"generation/{arm}",
        facts={"num": config.evaluation.num_generated},
        inputs=(model.name, *held_out),
        reads=tuple(config.arm(arm)),
        details=details,
        cost=60.0,
    )
    return [model, evaluation, generation]


def _measured(config: ExperimentConfig) -> dict[str, Any]:
    """What decides a measurement: everything but what is only looked at."""
    return {name: value for name, value in to_plain(config.evaluation).items() if name != "num_generated"}


def _tokenizers_of(modalities: Mapping[str, Modality], names: Sequence[str]) -> tuple[str, ...]:
    """The stages that make the tokenizers of some modalities."""
    text = ["text"] if any(isinstance(modalities[name], SequenceModality) for name in names) else []
    return (*text, *(f"tokenizer/{name}" for name in needs(modalities, names)))


def sources_of(modality: type) -> list[str]:
    """A digest of each file that a modality from elsewhere is written in, so that an edited one makes new results.

    Those of this package are told apart by `VERSIONS`.
    """
    modules = {kind.__module__ for kind in modality.__mro__} - {"builtins"}
    own = {name for name in modules if name.partition(".")[0] not in ("modalities", *sys.stdlib_module_names)}
    files = [getattr(sys.modules.get(name), "__file__", None) for name in sorted(own)]
    return [hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] for file in files if file and Path(file).is_file()]


def needs(modalities: Mapping[str, Modality], names: Sequence[str]) -> list[str]:
    """The learnt tokenizers that some modalities need."""
    return list(
        dict.fromkeys(codes.tokenizer.name for name in names if (codes := learnt(modalities[name])) is not None)
    )
