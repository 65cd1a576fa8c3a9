"""Raw values on disk: what tokenizers are trained on and what predictions are held against.

A shard is a folder with a folder for each modality, its column, and the keys of its samples.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from lightning_modules.data.index import SampleIndex
from lightning_modules.data.shards import (
    RecordColumn,
    ShardColumn,
    read_column,
    read_manifest,
    read_records,
    write_column,
    write_manifest,
    write_records,
)
from modalities.errors import DataError, UnavailableError
from modalities.sources.base import Source, require_modalities, select_keys
from modalities.spec import Modality, SequenceModality
from modalities.storage.atomic import atomic_folder, atomic_write_text, read_json

VALUES_COLUMN = "values"
"""Name of the files of a column."""

KEYS_FILE = "keys.json"
"""File of a shard with the keys of its samples, in order."""


def write_shard(
    folder: Path,
    modalities: Mapping[str, Modality],
    source: Source,
    split: str,
    sample_indices: range,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Read samples of a split from a source and write the value of every modality into a folder.

    Args:
        sample_indices: Which of the split's samples, counted in the order of `Source.keys`.
        progress: Receives the fraction that is read, every 16 samples.

    Raises:
        DataError: The source lacks a modality or has fewer samples, a value cannot be read, or the folder cannot be
            written.
    """
    require_modalities(source, modalities.values())
    write_samples(folder, modalities, source, select_keys(source, split, sample_indices), progress=progress)


def write_samples(
    folder: Path,
    modalities: Mapping[str, Modality],
    source: Source,
    keys: Sequence[str],
    *,
    column_names: Mapping[str, str] | None = None,
    max_errors: int = 0,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Read the samples ``keys`` and write the value of every modality into a folder of a shard, and the keys.

    Args:
        column_names: Name of each modality's folder in the shard, where it is not the modality's own.
        max_errors: Samples whose values may fail to be read; such a value is None, and its error is written with it.

    Raises:
        UnavailableError: A sample cannot be reached; nothing is written, so that another try reads it again.
        DataError: More samples cannot be read, or the folder cannot be written.
    """
    values: dict[str, list[Any]] = {name: [] for name in modalities}
    errors: dict[str, dict[int, str]] = {name: {} for name in modalities}
    for number, key in enumerate(keys):
        for name, modality in modalities.items():
            try:
                value = source.read(key, modality)
            except UnavailableError:
                # What is written is not tried again: only what is wrong with the data itself is kept as an error.
                raise
            except DataError as error:
                value, errors[name][number] = None, str(error)
                if len(set().union(*errors.values())) > max_errors:
                    if not max_errors:
                        raise
                    raise DataError(
                        f"more than {max_errors} samples (data.max_errors; each crop is one) cannot be read, the last "
                        f"is {key!r}: {error}"
                    ) from error
            values[name].append(value)
        if progress is not None and number % 16 == 0:
            progress(number / len(keys))
    for name, column in values.items():
        write_raw_column(folder / (column_names or {}).get(name, name), modalities[name], column, errors[name])
    write_keys(folder, keys)


def write_raw(folder: Path, modalities: Mapping[str, Modality], values: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of one shard into a folder.

    Raises:
        DataError: Modalities have unequal counts, or the folder cannot be written.
    """
    counts = {name: len(column) for name, column in values.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"Modalities have unequal counts: {', '.join(f'{name} {count}' for name, count in counts.items())}."
        )
    for name, column in values.items():
        write_raw_column(folder / name, modalities[name], column)


def write_raw_column(
    folder: Path, modality: Modality, values: Sequence[Any], errors: Mapping[int, str] | None = None
) -> None:
    """Write one modality's values of one shard atomically into a folder of their own.

    Args:
        values: One for each sample; None where the sample lacks the modality.
        errors: Why the values of some samples, by their number in the shard, cannot be read; these are None.

    Raises:
        DataError: A value is of no type that can be stored, or the folder cannot be written.
    """
    first_value = next((value for value in values if value is not None), None)
    kind = "array" if isinstance(first_value, np.ndarray) else "json"
    with atomic_folder(folder) as partial:
        if kind == "array":
            write_column(partial, VALUES_COLUMN, values)
        else:
            write_records(partial, VALUES_COLUMN, [_to_json(modality, value) for value in values])
        # JSON has no integer keys.
        reasons = {str(number): reason for number, reason in (errors or {}).items()}
        write_manifest(partial, {"count": len(values), "kind": kind, "errors": reasons})


def write_keys(folder: Path, keys: Sequence[str]) -> None:
    """Write the keys of a shard's samples beside its columns, unless they are there."""
    if not (folder / KEYS_FILE).is_file() or read_keys(folder) != list(keys):
        atomic_write_text(folder / KEYS_FILE, json.dumps(list(keys)))


def read_keys(folder: Path) -> list[str]:
    """The keys of a shard's samples, in order."""
    keys: list[str] = read_json(folder / KEYS_FILE)
    return keys


def read_errors(folder: Path) -> dict[int, str]:
    """Why the values of some samples of a column cannot be read, by their number in the shard."""
    return {int(number): reason for number, reason in read_manifest(folder).get("errors", {}).items()}


def _to_json(modality: Modality, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(modality, SequenceModality):
        raise DataError(
            f"A value of {modality.name!r} is a {type(value).__name__}, expected a numpy array: "
            "only values of a SequenceModality are stored as JSON."
        )
    return modality.to_json(value)


@dataclass(frozen=True, kw_only=True)
class RawValues(Sequence[Any]):
    """One modality's values over all shards; each is read when it is asked for."""

    modality: Modality
    columns: tuple[ShardColumn | RecordColumn, ...]
    samples: SampleIndex

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        shards, rows = self.samples.locate(np.array([index], dtype=np.int64))
        return self._value(self.columns[int(shards[0])], int(rows[0]))

    def present(self) -> Iterator[int]:
        """The numbers of the samples that have a value, in order."""
        number = 0
        for shard, column in enumerate(self.columns):
            has_value = column.has_value()[self.samples.kept_rows(shard)]
            yield from (number + np.flatnonzero(has_value)).tolist()
            number += len(has_value)

    def _value(self, column: ShardColumn | RecordColumn, row: int) -> Any:
        value = column[row]
        if value is None or isinstance(column, ShardColumn):
            return value
        if not isinstance(self.modality, SequenceModality):
            raise DataError(
                f"{column.content.path} holds JSON, expected arrays of {self.modality.name!r}. "
                "Delete the folder and make it again."
            )
        return self.modality.from_json(value)


@dataclass(frozen=True, kw_only=True)
class RawStore(Mapping[str, RawValues]):
    """Raw values of a split, by modality, out of one or several shards."""

    folders: tuple[Path, ...]
    modalities: Mapping[str, Modality]
    columns: dict[str, RawValues] = field(repr=False)
    num_samples: int
    fingerprint: str
    """Changes when any value of these modalities does."""

    @classmethod
    def open(
        cls,
        folders: Sequence[Path],
        modalities: Mapping[str, Modality],
        *,
        column_names: Mapping[str, str] | None = None,
        omitted: Sequence[int] = (),
    ) -> "RawStore":
        """The values of ``modalities`` in the shards ``folders``.

        Args:
            column_names: Name of each modality's folder in a shard, where it is not the modality's own.
            omitted: Samples that are left out, counted over all shards.

        Raises:
            DataError: A shard is incomplete or damaged, lacks a modality, or holds another number of its values.
        """
        names = {name: (column_names or {}).get(name, name) for name in modalities}
        parts: dict[str, list[ShardColumn | RecordColumn]] = {name: [] for name in modalities}
        counts, checksums = [], []
        for folder in folders:
            found = {name: _open_column(folder, names[name], name) for name in modalities}
            sizes = {name: len(column) for name, (column, _) in found.items()}
            if (folder / KEYS_FILE).is_file():
                sizes["keys"] = len(read_keys(folder))
            if len(set(sizes.values())) > 1:
                sizes_text = ", ".join(f"{name} {size}" for name, size in sizes.items())
                raise DataError(f"{folder} has unequal counts of values: {sizes_text}. Make it again.")
            counts.append(next(iter(sizes.values()), 0))
            for name, (column, checksum) in found.items():
                parts[name].append(column)
                checksums.append(checksum)
        index = SampleIndex(counts, omitted)
        return cls(
            folders=tuple(folders),
            modalities=modalities,
            columns={
                name: RawValues(modality=modality, columns=tuple(parts[name]), samples=index)
                for name, modality in modalities.items()
            },
            num_samples=len(index),
            fingerprint=hashlib.sha256(" ".join([*checksums, *map(str, omitted)]).encode()).hexdigest()[:16],
        )

    def __getitem__(self, name: str) -> RawValues:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def _open_column(shard: Path, name: str, modality: str) -> tuple[ShardColumn | RecordColumn, str]:
    """A modality's column of a shard, and its checksums."""
    folder = shard / name
    if not folder.is_dir():
        others = ", ".join(sorted(path.name for path in shard.iterdir() if path.is_dir())) if shard.is_dir() else ""
        raise DataError(f"{shard} has no values of {modality!r}; it has {others or 'none'}.")
    manifest = read_manifest(folder)
    read = read_column if manifest["kind"] == "array" else read_records
    column: ShardColumn | RecordColumn = read(folder, VALUES_COLUMN)
    if len(column) != manifest["count"]:
        raise DataError(f"{folder} has {len(column)} values, expected {manifest['count']}.")
    return column, " ".join(str(item["crc32"]) for _, item in sorted(manifest["files"].items()))
