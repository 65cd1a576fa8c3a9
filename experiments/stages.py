"""Stages: what is to be made, from what, and whether it is there already. No running, no arithmetic."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.config import ExperimentConfig
from experiments.start import Start, start_of
from lightning_modules.records import to_plain
from modalities.spec import Modality, learnt, tokenizer_tasks

DONE = "done.json"
"""File whose presence says that a stage's folder is complete."""

CHECKPOINT, PICTURES = "checkpoint.ckpt", "pictures"
"""What a stage in the making leaves for the next start when it is interrupted: where it was, and what it had drawn."""

VERSIONS = {
    "data": 1,
    "text": 1,
    "tokenizer": 1,
    "tokens": 1,
    "model": 1,
    "baselines": 1,
    "evaluation": 1,
    "generation": 1,
}
"""Raised when the code of a kind of stage changes what it makes, so that old results are not taken for new ones."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One piece of work, whose result depends on its facts and on the results of its inputs alone."""

    kind: str
    name: str
    facts: Mapping[str, Any]
    """Settings that decide the result, in terms of JSON."""
    inputs: tuple[str, ...] = ()
    """Names of the stages whose results it reads."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the work needs to know beside; decides nothing."""
    cost: float = 1.0
    """How long it takes, in any unit: long ones start first."""


def working_folder(folder: Path) -> Path:
    """Where a stage's result is made, before it takes its place."""
    return folder.with_name(f".{folder.name}.partial")


class Plan:
    """The stages of an experiment, in an order in which each finds its inputs done."""

    def __init__(self, root: Path, stages: Sequence[Stage]) -> None:
        self.root = root
        self.stages = {stage.name: stage for stage in stages}
        self.signatures: dict[str, str] = {}
        for stage in stages:
            self.signatures[stage.name] = self._sign(stage)

    def folder(self, name: str) -> Path:
        """Where a stage's result is, or will be."""
        stage = self.stages[name]
        return self.root / "stages" / f"{stage.name.replace('/', '-')}-{self.signatures[name]}"

    def is_done(self, name: str) -> bool:
        """True where the result is there, whole."""
        return (self.folder(name) / DONE).is_file()

    def told(self, name: str) -> dict[str, Any]:
        """What was noted when the stage ended: its seconds, its ledger run."""
        told: dict[str, Any] = json.loads((self.folder(name) / DONE).read_text())
        return told

    def of(self, kind: str) -> list[Stage]:
        """The stages of one kind."""
        return [stage for stage in self.stages.values() if stage.kind == kind]

    def clean(self) -> None:
        """Remove what interrupted runs have left half-written, but for what a stage can go on from."""
        for path in (self.root / "stages").glob(".*.partial"):
            if not (path / CHECKPOINT).is_file():
                shutil.rmtree(path, ignore_errors=True)
        for name in self.stages:
            if self.folder(name).exists() and not self.is_done(name):
                shutil.rmtree(self.folder(name), ignore_errors=True)

    def _sign(self, stage: Stage) -> str:
        content = {
            "kind": stage.kind,
            "version": VERSIONS[stage.kind],
            "facts": to_plain(stage.facts),
            "inputs": [self.signatures[name] for name in stage.inputs],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def plan_of(config: ExperimentConfig, modalities: Mapping[str, Modality]) -> Plan:
    """Every stage of an experiment but the report.

    Data and tokenizers cover the modalities of all arms and are made once; a model is made for each arm and seed.
    """
    facts = {name: [type(item).__qualname__, to_plain(item)] for name, item in modalities.items()}
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
            stages += _model(config, arm, seed, made, data, tokenizers, common, start)
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
                    facts={"modalities": facts, "split": split, "numbers": numbers},
                    details={"split": split, "first": numbers[0], "end": numbers[1]},
                    cost=(numbers[1] - numbers[0]) * 0.02,
                )
            )
    return stages


def _tokenizers(config: ExperimentConfig, modalities: Mapping[str, Modality], start: Start | None) -> list[Stage]:
    shards = _data(config, {})
    train = tuple(stage.name for stage in shards if stage.details["split"] == "train")
    both = tuple(stage.name for stage in shards)
    text = {"start": start.text} if start and start.text else {"modalities": sorted(modalities)}
    stages = [Stage(kind="text", name="text", facts=text, inputs=train, cost=30.0)]
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
                kind="tokenizer", name=f"tokenizer/{name}", facts=facts, inputs=both, details={"task": name}, cost=20.0
            )
        )
    return stages


def _model(
    config: ExperimentConfig,
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
        inputs=(*held_out, *tokens, *tokenizers),
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
        details=details,
        cost=60.0,
    )
    return [model, evaluation, generation]


def _measured(config: ExperimentConfig) -> dict[str, Any]:
    """What decides a measurement: everything but what is only looked at."""
    return {name: value for name, value in to_plain(config.evaluation).items() if name != "num_generated"}


def needs(modalities: Mapping[str, Modality], names: Sequence[str]) -> list[str]:
    """The learnt tokenizers that some modalities need."""
    return list(
        dict.fromkeys(codes.tokenizer.name for name in names if (codes := learnt(modalities[name])) is not None)
    )
