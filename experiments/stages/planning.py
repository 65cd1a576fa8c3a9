"""The plan of an experiment: its stages, and what decides the result of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.schema.experiment import ExperimentConfig
from experiments.stages.plan import ModalityPart, Stage, StagePlan
from experiments.stages.warm_start import WarmStart, load_warm_start
from modalities.kinds.sequences import FreeTextModality
from modalities.sources.base import module_digest, require_modalities
from modalities.sources.open import open_source
from modalities.spec import Modality, SequenceModality, learned_tokenizer, tokenizer_tasks
from modalities.storage.serialization import to_plain


def build_stage_plan(config: ExperimentConfig, modalities: Mapping[str, Modality]) -> StagePlan:
    """Every stage of an experiment but the report.

    Data and tokenizers cover the modalities of all arms and are made once; a model is made for each arm and seed. A
    modality more or less makes data and tokens anew, but no tokenizer and no model that has nothing to do with it.
    """
    source = open_source(modalities)
    require_modalities(source, modalities.values())
    params = {
        name: [type(item).__qualname__, to_plain(item), *plugin_file_hashes(type(item)), source.fingerprint(item)]
        for name, item in modalities.items()
    }
    start = load_warm_start(config.training.start_from, tokenizer_tasks(modalities))
    stages = [*_data_stages(config, params), *_tokenizer_stages(config, modalities, start)]
    tokenizers = tuple(stage.name for stage in stages if stage.kind in ("text", "tokenizer"))
    tokens: list[Stage] = []
    for stage in stages:
        if stage.kind == "data":
            name = stage.name.replace("data", "tokens", 1)
            tokens.append(
                Stage(
                    kind="tokens",
                    name=name,
                    params={},
                    inputs=(stage.name, *tokenizers),
                    parts={key: ModalityPart(inputs=_tokenizer_stage_names(modalities, [key])) for key in modalities},
                    run_args=stage.run_args,
                    cost=stage.cost * 0.5,
                )
            )
    stages += tokens
    token_stage_names = tuple(stage.name for stage in tokens)
    data = tuple(stage.name for stage in stages if stage.kind == "data")
    stages.append(
        Stage(
            kind="baselines",
            name="baselines",
            params={
                "evaluation": _evaluation_params(config),
                "restrict_output_vocab": config.training.restrict_output_vocab,
            },
            inputs=(*data, *token_stage_names, *tokenizers),
            cost=50.0,
        )
    )
    common = sorted(set.intersection(*[set(config.arm_modalities(name)) for name in config.arms]))
    for seed in config.seeds:
        for arm in config.arms:
            stages += _model_stages(config, modalities, arm, seed, token_stage_names, data, tokenizers, common, start)
    return StagePlan(Path(config.root).absolute(), stages)


def _data_stages(config: ExperimentConfig, params: Mapping[str, Any]) -> list[Stage]:
    stages: list[Stage] = []
    for split, count in (("train", config.data.train), ("validation", config.data.validation)):
        for shard, first in enumerate(range(0, count, config.data.shard)):
            sample_range = [first, min(first + config.data.shard, count)]
            stages.append(
                Stage(
                    kind="data",
                    name=f"data/{split}/{shard:04d}",
                    params={"split": split, "numbers": sample_range},
                    parts={name: ModalityPart(params=part_params) for name, part_params in params.items()},
                    run_args={"split": split, "first": sample_range[0], "end": sample_range[1]},
                    cost=(sample_range[1] - sample_range[0]) * 0.02,
                )
            )
    return stages


def _tokenizer_stages(
    config: ExperimentConfig, modalities: Mapping[str, Modality], start: WarmStart | None
) -> list[Stage]:
    shards = _data_stages(config, {})
    train = tuple(stage.name for stage in shards if stage.run_args["split"] == "train")
    all_shards = tuple(stage.name for stage in shards)
    prose = tuple(sorted(name for name, item in modalities.items() if isinstance(item, FreeTextModality)))
    text = {"start": start.text_hash} if start and start.text_hash else {"modalities": prose}
    stages = [Stage(kind="text", name="text", params=text, inputs=train, read_modalities=prose, cost=30.0)]
    for name, task in tokenizer_tasks(modalities).items():
        steps = config.tokenizer_training.steps.get(name, config.tokenizer_optim.steps)
        params = {
            "task": to_plain(task),
            "config": to_plain(config.tokenizer),
            "optim": to_plain(config.tokenizer_optim),
            # Steps of other tokenizers are none of this one's business.
            "training": {**to_plain(config.tokenizer_training), "steps": steps},
        }
        if start and name in start.tokenizer_fingerprints:
            params = {"start": start.tokenizer_fingerprints[name]}
        stages.append(
            Stage(
                kind="tokenizer",
                name=f"tokenizer/{name}",
                params=params,
                inputs=all_shards,
                read_modalities=task.members,
                run_args={"task": name},
                cost=20.0,
            )
        )
    return stages


def _model_stages(
    config: ExperimentConfig,
    modalities: Mapping[str, Modality],
    arm: str,
    seed: int,
    tokens: tuple[str, ...],
    data: tuple[str, ...],
    tokenizers: tuple[str, ...],
    common: list[str],
    start: WarmStart | None,
) -> list[Stage]:
    held_out = tuple(name for name in data if name.startswith("data/validation"))
    training = {
        "modalities": list(config.arm_modalities(arm)),
        "seed": seed,
        "model": to_plain(config.model),
        "masking": to_plain(config.masking),
        "optim": to_plain(config.optim),
        # What the folder holds decides, not where it lies; interruptions change no result.
        "training": {
            **{name: value for name, value in to_plain(config.training).items() if name != "checkpoint_minutes"},
            "start_from": start.weights_hash if start else None,
        },
        "devices": config.executor.devices,
    }
    run_args = {"arm": arm, "seed": seed}
    model = Stage(
        kind="model",
        name=f"model/{arm}/{seed}",
        params=training,
        inputs=(
            *held_out,
            *tokens,
            *dict.fromkeys(("text", *_tokenizer_stage_names(modalities, config.arm_modalities(arm)))),
        ),
        read_modalities=tuple(config.arm_modalities(arm)),
        run_args=run_args,
        cost=1000.0,
    )
    evaluation = Stage(
        kind="evaluation",
        name=f"evaluation/{arm}/{seed}",
        params={"evaluation": _evaluation_params(config), "common": common},
        inputs=(model.name, "baselines", *data, *tokens, *tokenizers),
        run_args=run_args,
        cost=100.0,
    )
    if seed != config.seeds[0] or not config.evaluation.num_generated:
        return [model, evaluation]
    generation = Stage(
        kind="generation",
        name=f"generation/{arm}",
        params={"num": config.evaluation.num_generated},
        inputs=(model.name, *held_out),
        read_modalities=tuple(config.arm_modalities(arm)),
        run_args=run_args,
        cost=60.0,
    )
    return [model, evaluation, generation]


def _evaluation_params(config: ExperimentConfig) -> dict[str, Any]:
    """What decides a measurement: everything but what is only looked at."""
    return {name: value for name, value in to_plain(config.evaluation).items() if name != "num_generated"}


def _tokenizer_stage_names(modalities: Mapping[str, Modality], names: Sequence[str]) -> tuple[str, ...]:
    """The stages that make the tokenizers of some modalities."""
    text = ["text"] if any(isinstance(modalities[name], SequenceModality) for name in names) else []
    return (*text, *(f"tokenizer/{name}" for name in required_tokenizers(modalities, names)))


def plugin_file_hashes(modality: type) -> list[str]:
    """A digest of each file in which classes of a modality from elsewhere are written: an edited one makes new results.

    Those of this package are told apart by `STAGE_VERSIONS`.
    """
    modules = sorted({kind.__module__ for kind in modality.__mro__})
    return [digest for digest in map(module_digest, modules) if digest]


def required_tokenizers(modalities: Mapping[str, Modality], names: Sequence[str]) -> list[str]:
    """The learnt tokenizers that some modalities need."""
    return list(
        dict.fromkeys(
            codes.tokenizer.name for name in names if (codes := learned_tokenizer(modalities[name])) is not None
        )
    )
