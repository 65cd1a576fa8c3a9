"""Stages: what is made from what, by which signature, and whether it is there already. No running, no arithmetic."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modalities.storage.serialization import to_plain

DONE_FILE = "done.json"
"""File whose presence says that a stage's folder is complete."""

CHECKPOINT_FILE, PICTURES_FOLDER = "checkpoint.ckpt", "pictures"
"""What a stage in the making leaves for the next start when it is interrupted: where it was, and what it had drawn."""

STAGE_VERSIONS = {
    "data": 1,
    "text": 1,
    "tokenizer": 1,
    "tokens": 1,
    "model": 1,
    "baselines": 1,
    "evaluation": 2,
    "generation": 1,
}
"""Raised when the code of a kind of stage changes what it makes, so that old results are not taken for new ones."""


@dataclass(frozen=True, kw_only=True)
class ModalityPart:
    """One modality's part of a result: made in one go with the others, for the scene's sake, but of its own facts."""

    params: Any = None
    """What decides it beside the stage's own facts, in terms of JSON."""
    inputs: tuple[str, ...] = ()
    """Which of the stage's inputs it is made with, beside those that have columns themselves."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One piece of work, whose result depends on its facts and on the results of its inputs alone."""

    kind: str
    name: str
    params: Mapping[str, Any]
    """Settings that decide the result, in terms of JSON."""
    inputs: tuple[str, ...] = ()
    """Names of the stages whose results it reads."""
    parts: Mapping[str, ModalityPart] = field(default_factory=dict)
    """What it makes of each modality apart from the others; empty where its result is one."""
    read_modalities: tuple[str, ...] | None = None
    """The modalities whose columns of its inputs it reads; None for all. Others do not change its result."""
    run_args: Mapping[str, Any] = field(default_factory=dict)
    """What the work needs to know beside; decides nothing."""
    cost: float = 1.0
    """How long it takes, in any unit: long ones start first."""


def partial_folder(folder: Path) -> Path:
    """Where a stage's result is made, before it takes its place."""
    return folder.with_name(f".{folder.name}.partial")


class StagePlan:
    """The stages of an experiment, in an order in which each finds its inputs done."""

    def __init__(self, root: Path, stages: Sequence[Stage]) -> None:
        self.root = root
        self.stages = {stage.name: stage for stage in stages}
        self.signatures: dict[str, str] = {}
        for stage in stages:
            self.signatures[stage.name] = self._signature(stage, stage.read_modalities)

    def folder(self, name: str) -> Path:
        """Where a stage's result is, or will be."""
        stage = self.stages[name]
        return self.root / "stages" / f"{stage.name.replace('/', '-')}-{self.signatures[name]}"

    def is_done(self, name: str) -> bool:
        """True where the result is there, whole."""
        try:
            return isinstance(json.loads((self.folder(name) / DONE_FILE).read_text()), dict)
        except (OSError, ValueError):
            return False

    def metadata(self, name: str) -> dict[str, Any]:
        """What was noted when the stage ended: its seconds, its tracking run."""
        metadata: dict[str, Any] = json.loads((self.folder(name) / DONE_FILE).read_text())
        return metadata

    def stages_of_kind(self, kind: str) -> list[Stage]:
        """The stages of one kind."""
        return [stage for stage in self.stages.values() if stage.kind == kind]

    def remove_incomplete(self) -> None:
        """Remove what interrupted runs have left half-written, but for what a stage can go on from."""
        for path in (self.root / "stages").glob(".*.partial"):
            if not (path / CHECKPOINT_FILE).is_file():
                shutil.rmtree(path, ignore_errors=True)
        for name in self.stages:
            if self.folder(name).exists() and not self.is_done(name):
                shutil.rmtree(self.folder(name), ignore_errors=True)

    def _signature(self, stage: Stage, read_modalities: Sequence[str] | None) -> str:
        """The signature of a result, or, where it has columns, of those of the modalities ``reads``."""
        parts = {name: item for name, item in stage.parts.items() if read_modalities is None or name in read_modalities}
        used_inputs = {name for item in parts.values() for name in item.inputs}
        inputs = [
            self._signature(self.stages[name], read_modalities) if self.stages[name].parts else self.signatures[name]
            for name in stage.inputs
            if not parts or self.stages[name].parts or name in used_inputs
        ]
        content = {
            "kind": stage.kind,
            "version": STAGE_VERSIONS[stage.kind],
            "facts": to_plain(stage.params),
            "columns": {name: to_plain(item.params) for name, item in sorted(parts.items())},
            "inputs": inputs,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
