"""Stages, the signatures that decide their results, and which results are there already. Nothing runs here."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.data.split import SplitIndex
from modalities.storage.serialization import to_plain

DONE_FILE = "done.json"
"""File whose presence says that a stage's folder is complete."""

CHECKPOINT_FILE, PICTURES_FOLDER = "checkpoint.ckpt", "pictures"
"""Files that an interrupted stage leaves for the next start: its training state, and the pictures until then."""


@dataclass(frozen=True, kw_only=True)
class ModalityPart:
    """One modality's part of a result, which is computed with the others' but depends on its own settings alone."""

    params: Any = None
    """Settings that decide it beside the stage's own, in terms of JSON."""
    inputs: tuple[str, ...] = ()
    """The stage's inputs that it is made with, beside those that have parts themselves."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One piece of work. Its result depends on its params and on the results of its inputs alone."""

    kind: str
    name: str
    params: Mapping[str, Any]
    """Settings that decide the result, in terms of JSON."""
    version: int = 1
    """Version of the kind's code."""
    inputs: tuple[str, ...] = ()
    """Names of the stages whose results it reads."""
    parts: Mapping[str, ModalityPart] = field(default_factory=dict)
    """Its result by modality; empty if the result is one."""
    read_modalities: tuple[str, ...] | None = None
    """The modalities whose parts of its inputs it reads; None for all. Others do not change its result."""
    num_items: int = 0
    """Work items that the stage consists of, each done on its own; 0 if it is one piece of work."""
    run_args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the run, which follow from the params and the name; they decide nothing."""
    cost: float = 1.0
    """Expected seconds with a small model on one CPU core: long stages start first; the time left is estimated from it.

    Other machines and models are as many times slower or faster as the stages that have run show.
    """


def partial_folder(folder: Path) -> Path:
    """The temporary folder in which a stage's result is made."""
    return folder.with_name(f".{folder.name}.partial")


class StagePlan:
    """The stages of an experiment, in an order in which each finds its inputs done."""

    def __init__(self, root: Path, stages: Sequence[Stage]) -> None:
        self.root = root
        self.stages = {stage.name: stage for stage in stages}
        self.signatures: dict[str, str] = {}
        self._whole: set[Path] = set()
        for stage in stages:
            self.signatures[stage.name] = self._signature(stage, stage.read_modalities)

    def folder(self, name: str) -> Path:
        """The folder of a stage's result, whether it is there or not."""
        stage = self.stages[name]
        return self.root / "stages" / f"{stage.name.replace('/', '-')}-{self.signatures[name]}"

    def is_done(self, name: str) -> bool:
        """True if the result is there and complete."""
        folder = self.folder(name)
        try:
            if not isinstance(json.loads((folder / DONE_FILE).read_text()), dict):
                return False
        except (OSError, ValueError):
            return False
        if not self.stages[name].num_items or folder in self._whole:
            return True
        # The columns lie elsewhere: a damaged one may have been deleted, to be made again.
        is_whole = SplitIndex.load(folder).has_columns(folder)
        if is_whole:
            self._whole.add(folder)
        return is_whole

    def metadata(self, name: str) -> dict[str, Any]:
        """The record of the stage's end: its start, its seconds, its tracking run."""
        metadata: dict[str, Any] = json.loads((self.folder(name) / DONE_FILE).read_text())
        return metadata

    def stages_of_kind(self, kind: str) -> list[Stage]:
        """The stages of one kind."""
        return [stage for stage in self.stages.values() if stage.kind == kind]

    def remove_incomplete(self) -> None:
        """Remove incomplete results of interrupted runs, except those that a stage can resume from."""
        for path in (self.root / "stages").glob(".*.partial"):
            if not (path / CHECKPOINT_FILE).is_file():
                shutil.rmtree(path, ignore_errors=True)
        for name in self.stages:
            if self.folder(name).exists() and not self.is_done(name):
                shutil.rmtree(self.folder(name), ignore_errors=True)

    def _signature(self, stage: Stage, read_modalities: Sequence[str] | None) -> str:
        """Hash everything that decides a result, or only its parts of the modalities ``read_modalities``."""
        parts = {name: item for name, item in stage.parts.items() if read_modalities is None or name in read_modalities}
        used_inputs = {name for item in parts.values() for name in item.inputs}
        inputs = [
            self._signature(self.stages[name], read_modalities) if self.stages[name].parts else self.signatures[name]
            for name in stage.inputs
            if not parts or self.stages[name].parts or name in used_inputs
        ]
        content = {
            "kind": stage.kind,
            "version": stage.version,
            "params": to_plain(stage.params),
            "parts": {name: to_plain(item.params) for name, item in sorted(parts.items())},
            "inputs": inputs,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
