"""Shards of a split as work items: the names of their folders and columns, and what becomes of samples with errors."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from experiments.schema.sections import RAISE, DataConfig
from experiments.stages.context import StageContext
from lightning_modules.data.raw import read_errors
from lightning_modules.data.split import SplitIndex
from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_text
from modalities.storage.serialization import to_plain

QUARANTINE_FILE = "quarantine.jsonl"
"""File with the samples that are left out, one a line: split, key, modality and reason."""

T = TypeVar("T")

_kept: dict[str, tuple[str, Any]] = {}
"""Objects of the stage that this process works on, by name, each with the stage's folder."""


def once_per_stage(context: StageContext, name: str, make: Callable[[], T]) -> T:
    """An object that all items of a stage share in one process; that of another stage is dropped."""
    key = _stage_key(context)
    if name not in _kept or _kept[name][0] != key:
        _kept[name] = key, make()
    return cast(T, _kept[name][1])


def drop_other_stages(context: StageContext) -> None:
    """Drop what `once_per_stage` keeps of other stages."""
    for name in [name for name, (key, _) in _kept.items() if key != _stage_key(context)]:
        del _kept[name]


def _stage_key(context: StageContext) -> str:
    # The signature in the folder's name stands for all settings; the temporary folder has it too.
    return str(context.folder).replace("/.", "/").removesuffix(".partial")


def column_name(name: str, *content: Any) -> str:
    """Name of the folder of a modality or stream in a shard, with a hash of everything that decides its values."""
    return f"{name}-{_digest(to_plain(list(content)))}"


def shard_folder(context: StageContext, item: int, keys: Sequence[str]) -> Path:
    """The folder of a shard's raw columns, with the range of its samples and a hash of their keys in its name."""
    first, split = item * context.config.data.shard, context.stage.run_args["split"]
    name = f"{first:08d}-{first + len(keys):08d}-{_digest(list(keys))}"
    return context.columns_folder / "data" / str(split) / name


@dataclass(frozen=True, kw_only=True)
class SampleError:
    """A sample that cannot be read, and why."""

    key: str
    modality: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CollectedShards:
    """The shards of a split, and the samples that cannot be read."""

    index: SplitIndex
    errors: tuple[SampleError, ...]

    def check(self, config: DataConfig, split: str, count: int) -> None:
        """Refuse errors where none are allowed, or more than are allowed.

        Raises:
            DataError: There are too many; the message names the first.
        """
        if not self.errors:
            return
        first = f"{self.errors[0].key}: {self.errors[0].reason}"
        if config.on_error == RAISE:
            raise DataError(f"A sample of {split} cannot be read: {first}")
        limit = config.error_limit(count)
        if self.index.num_omitted > limit or self.index.num_omitted == count:
            raise DataError(
                f"{self.index.num_omitted} of {count} samples of {split} cannot be read, at most {limit} may be left "
                f"out (data.max_errors={config.max_errors}). The first is {first}"
            )

    def write_quarantine(self, folder: Path, split: str) -> None:
        """Write the samples that are left out into ``folder``."""
        lines = [
            {"split": split, "key": item.key, "modality": item.modality, "reason": item.reason} for item in self.errors
        ]
        atomic_write_text(folder / QUARANTINE_FILE, "".join(json.dumps(line) + "\n" for line in lines))


def collect_shards(
    context: StageContext, columns: Mapping[str, str], shard_keys: Callable[[int], Sequence[str]]
) -> CollectedShards:
    """The shards that are there, without those of failed items, and the errors of all."""
    shards, firsts, omitted, errors, num_rows, num_omitted = [], [], [], [], 0, 0
    for item in range(context.stage.num_items):
        keys = shard_keys(item)
        if item in context.failed_items:
            reason = f"its shard failed twice: {context.failed_items[item]}"
            errors += [SampleError(key=key, modality="", reason=reason) for key in keys]
            num_omitted += len(keys)
            continue
        folder = shard_folder(context, item, keys)
        found = {name: read_errors(folder / column) for name, column in columns.items()}
        rows = sorted({row for item_errors in found.values() for row in item_errors})
        for row in rows:
            name, reason = next((name, reasons[row]) for name, reasons in found.items() if row in reasons)
            errors.append(SampleError(key=keys[row], modality=name, reason=reason))
        omitted += [num_rows + row for row in rows]
        shards.append(str(folder.relative_to(context.folder.parent)))
        firsts.append(item * context.config.data.shard)
        num_rows += len(keys)
        num_omitted += len(rows)
    index = SplitIndex(
        shards=tuple(shards),
        firsts=tuple(firsts),
        columns=dict(columns),
        omitted=tuple(omitted),
        num_omitted=num_omitted,
    )
    return CollectedShards(index=index, errors=tuple(errors))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
