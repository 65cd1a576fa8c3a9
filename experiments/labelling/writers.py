"""Where labels go: one file a sample, or one tar a shard."""

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, assert_never, runtime_checkable

from experiments.labelling.plan import LabelFormat, LabelPlan, Shard
from modalities.errors import DataError
from modalities.sources.splits import SPLIT_ALIASES
from modalities.sources.webdataset.write import SHARD_NAME, add_member, member_keys
from modalities.spec import Modality, Value
from modalities.storage.atomic import atomic_file


@runtime_checkable
class LabelWriter(Protocol):
    """Takes the labels of one modality in one shard."""

    def write(self, key: str, value: Value) -> None:
        """Write the label of a sample."""

    def discard(self, key: str) -> None:
        """Remove the label of a sample that an earlier call left."""

    def earlier(self, key: str) -> Callable[[], Value] | None:
        """Reads the label of a sample that an earlier call left; None where there is none that can be kept."""


def split_folder(split: str, key: str) -> str:
    """The first part of a key where it names the split, as in ``val/0001`` of the split validation; else empty."""
    first, separator, _ = key.partition("/")
    return first if separator and SPLIT_ALIASES.get(first) == split else ""


def modality_folder(plan: LabelPlan, shard: Shard, output: str) -> Path:
    """The folder of a modality's files or tars, below that of the split where the keys name it.

    Tars always lie below their split's folder: shards of two splits have the same numbers.
    """
    if plan.has_split_folders and shard.keys:
        return plan.out / split_folder(shard.split, shard.keys[0]) / output
    return plan.out / shard.split / output if plan.format is LabelFormat.webdataset else plan.out / output


def sample_stem(plan: LabelPlan, split: str, key: str) -> str:
    """The name of a sample's file without its type: its key, without the split where a folder says it."""
    stem = key.removeprefix(f"{split_folder(split, key)}/") if plan.has_split_folders else key
    if stem.startswith("/") or ".." in stem.split("/"):
        raise DataError(f"The key {key!r} cannot be the name of a file in {plan.out}.")
    return stem


def label_path(plan: LabelPlan, shard: Shard, modality: Modality, key: str) -> Path:
    """The file of a label in a folder."""
    folder = modality_folder(plan, shard, modality.name)
    return folder / f"{sample_stem(plan, shard.split, key)}{modality.suffix}"


def shard_path(plan: LabelPlan, shard: Shard, modality: Modality) -> Path:
    """The tar of a shard."""
    return modality_folder(plan, shard, modality.name) / SHARD_NAME.format(number=shard.index)


def is_label_there(plan: LabelPlan, shard: Shard, modality: Modality, key: str) -> bool:
    """True where the file of a label exists, or the tar that it lies in."""
    match plan.format:
        case LabelFormat.folder:
            return label_path(plan, shard, modality, key).exists()
        case LabelFormat.webdataset:
            return shard_path(plan, shard, modality).exists()
        case _:
            assert_never(plan.format)


class FolderWriter:
    """One file a sample, each written atomically."""

    def __init__(self, plan: LabelPlan, shard: Shard, modality: Modality) -> None:
        self._modality = modality
        self._path = partial(label_path, plan, shard, modality)

    def write(self, key: str, value: Value) -> None:
        """Write the file of a sample, and the folders above it."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._modality.write_file(path, value)

    def discard(self, key: str) -> None:
        """Remove the file, if there is one."""
        self._path(key).unlink(missing_ok=True)

    def earlier(self, key: str) -> Callable[[], Value] | None:
        """Reads the file, if there is one."""
        path = self._path(key)
        return partial(self._modality.read_file, path) if path.exists() else None


class TarWriter:
    """One tar a shard, which is there when the shard is whole."""

    def __init__(self, plan: LabelPlan, shard: Shard, modality: Modality, tar: tarfile.TarFile) -> None:
        self._modality = modality
        self._tar = tar
        stems = [sample_stem(plan, shard.split, key) for key in shard.keys]
        self._members = dict(zip(shard.keys, member_keys(stems, f"shard {shard.name}"), strict=True))

    def write(self, key: str, value: Value) -> None:
        """Add a member."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"value{self._modality.suffix}"
            self._modality.write_file(path, value)
            content = path.read_bytes()
        add_member(self._tar, f"{self._members[key]}{self._modality.suffix}", content)

    def discard(self, key: str) -> None:
        """Nothing to do: the tar of an earlier call is replaced as a whole."""

    def earlier(self, key: str) -> Callable[[], Value] | None:
        """None: a tar is written as a whole, and what another label needs of it is computed again."""
        return None


@contextmanager
def open_writer(plan: LabelPlan, shard: Shard, modality: Modality) -> Iterator[LabelWriter]:
    """The writer of a modality's labels in a shard.

    Raises:
        DataError: The folder cannot be written to, or the disk is full.
    """
    match plan.format:
        case LabelFormat.folder:
            yield FolderWriter(plan, shard, modality)
        case LabelFormat.webdataset:
            path = shard_path(plan, shard, modality)
            with atomic_file(path, make_parents=True) as file, tarfile.open(fileobj=file, mode="w") as tar:
                yield TarWriter(plan, shard, modality, tar)
        case _:
            assert_never(plan.format)
