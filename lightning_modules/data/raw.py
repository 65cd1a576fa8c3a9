"""Raw values on disk: what tokenizers are trained on and what predictions are held against."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from lightning_modules.data.shards import ShardColumn, read_column, read_manifest, write_column, write_manifest
from modalities.errors import DataError
from modalities.sources.base import Source, require_modalities, select_keys
from modalities.spec import Modality, SequenceModality


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
        DataError: The source lacks a modality or has fewer samples, or the folder cannot be written.
    """
    require_modalities(source, modalities.values())
    values: dict[str, list[Any]] = {name: [] for name in modalities}
    for done, key in enumerate(select_keys(source, split, sample_indices)):
        for name, modality in modalities.items():
            values[name].append(source.read(key, modality))
        if progress is not None and done % 16 == 0:
            progress(done / len(sample_indices))
    write_raw(folder, modalities, values, {"split": split, "numbers": [sample_indices.start, sample_indices.stop]})


def write_raw(
    folder: Path, modalities: Mapping[str, Modality], values: Mapping[str, Sequence[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write one shard of raw values into a folder. Atomicity is the caller's.

    Raises:
        DataError: Modalities have unequal counts, or the folder cannot be written.
    """
    counts = {name: len(column) for name, column in values.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"Modalities have unequal counts: {', '.join(f'{name} {count}' for name, count in counts.items())}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, str] = {}
    for name, column in values.items():
        first_value = next((value for value in column if value is not None), None)
        kinds[name] = "array" if isinstance(first_value, np.ndarray) else "json"
        if kinds[name] == "array":
            write_column(folder, name, column)
        else:
            lines = [_json_line(modalities[name], value) for value in column]
            (folder / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
    write_manifest(folder, {**metadata, "count": next(iter(counts.values()), 0), "kinds": kinds})


def _json_line(modality: Modality, value: Any) -> str:
    if value is None:
        return json.dumps(None)
    if not isinstance(modality, SequenceModality):
        raise DataError(
            f"A value of {modality.name!r} is a {type(value).__name__}, expected a numpy array: "
            "only values of a SequenceModality are stored as JSON."
        )
    return json.dumps(modality.to_json(value))


class _JsonLinesColumn(Sequence[Any]):
    def __init__(self, path: Path, modality: Modality) -> None:
        self._path = path
        try:
            self._lines = path.read_text().splitlines()
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is damaged: {error}. Delete the folder and make it again.") from error
        self._modality = modality

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        try:
            data = json.loads(self._lines[index])
        except ValueError as error:
            raise DataError(
                f"{self._path} is damaged in line {index + 1}: {error}. Delete the folder and make it again."
            ) from error
        if data is None:
            return None
        if not isinstance(self._modality, SequenceModality):
            raise DataError(
                f"{self._path} holds JSON, expected arrays of {self._modality.name!r}. "
                "Delete the folder and make it again."
            )
        return self._modality.from_json(data)


class RawValues(Sequence[Any]):
    """One modality's values over all shards."""

    def __init__(self, parts: Sequence[ShardColumn | _JsonLinesColumn]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *[len(part) for part in parts]])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[part][int(index - self._starts[part])]


@dataclass(frozen=True, kw_only=True)
class RawStore(Mapping[str, RawValues]):
    """Raw values of a split, by modality, out of one or several shards."""

    folders: tuple[Path, ...]
    modalities: Mapping[str, Modality]
    columns: dict[str, RawValues]
    num_samples: int
    fingerprint: str
    """Changes when any value of these modalities does."""

    @classmethod
    def open(cls, folders: Sequence[Path], modalities: Mapping[str, Modality]) -> "RawStore":
        """The values of ``modalities`` in ``folders``.

        Raises:
            DataError: A shard is incomplete or damaged, lacks a modality, or holds another number of its values.
        """
        metadata = [read_manifest(folder) for folder in folders]
        columns: dict[str, RawValues] = {}
        for name, modality in modalities.items():
            parts: list[ShardColumn | _JsonLinesColumn] = []
            for folder, manifest in zip(folders, metadata, strict=True):
                if name not in manifest["kinds"]:
                    raise DataError(f"{folder} has no values of {name!r}; it has {', '.join(manifest['kinds'])}.")
                part = (
                    read_column(folder, name)
                    if manifest["kinds"][name] == "array"
                    else _JsonLinesColumn(folder / f"{name}.jsonl", modality)
                )
                if len(part) != manifest["count"]:
                    raise DataError(
                        f"{folder} has {len(part)} values of {name!r}, expected {manifest['count']} as of the others."
                    )
                parts.append(part)
            columns[name] = RawValues(parts)
        checksums = [
            str(item["crc32"])
            for manifest in metadata
            for file, item in sorted(manifest["files"].items())
            if file.partition(".")[0] in modalities
        ]
        return cls(
            folders=tuple(folders),
            modalities=modalities,
            columns=columns,
            num_samples=sum(int(manifest["count"]) for manifest in metadata),
            fingerprint=_digest(checksums),
        )

    def __getitem__(self, name: str) -> RawValues:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def _digest(parts: Sequence[str]) -> str:
    import hashlib

    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
