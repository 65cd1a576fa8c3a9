"""The token store: per shard and stream one memory map of tokens, with the fingerprint of the tokenizer that wrote it.

Adding a stream adds a folder and touches no other. Any number of processes may write different shards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.data.shards import ShardColumn, read_column, read_manifest, write_column, write_manifest
from modalities.errors import CheckpointError, DataError
from modalities.storage.atomic import atomic_folder
from networks.batch import PaddedTokens, Samples
from networks.streams import PixelStream, Stream

TOKENS_COLUMN = "tokens"


def write_tokens(
    folder: Path, stream: str, values: Sequence[Any], fingerprint: str, *, vocab_size: int | None = None
) -> None:
    """Write one stream's tokens of one shard atomically into ``folder / stream``.

    Args:
        values: An array for each sample: ids (n,), pixels (h, w, c) or vectors (n, c); None where it lacks the stream.
        fingerprint: Of the tokenizer that made the ids.
        vocab_size: Size of the vocabulary that the ids are taken from; they are stored in the smallest type that
            holds it. None stores the arrays in the type that they have.

    Raises:
        DataError: An id is outside the vocabulary, or the folder cannot be written.
    """
    if vocab_size is not None:
        values = [None if ids is None else _pack_ids(np.asarray(ids), vocab_size, stream) for ids in values]
    with atomic_folder(folder / stream) as partial:
        write_column(partial, TOKENS_COLUMN, values)
        write_manifest(partial, {"count": len(values), "fingerprint": fingerprint})


def id_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The type that ids below ``vocab_size`` are stored in: uint16 up to 65,536 of them, else uint32.

    Raises:
        DataError: 32 bits do not hold so many.
    """
    if vocab_size > 1 << 32:
        raise DataError(f"A vocabulary of {vocab_size} ids cannot be stored, expected at most 2^32.")
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def _pack_ids(ids: NDArray[Any], vocab_size: int, stream: str) -> NDArray[Any]:
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if len(outside):
        raise DataError(
            f"Stream {stream!r} has the id {int(outside[0])}, expected 0 to {vocab_size - 1}: "
            "its tokenizer and its vocabulary do not fit."
        )
    return ids.astype(id_dtype(vocab_size))


@dataclass(frozen=True, kw_only=True)
class _StreamShards:
    """One stream of one or several shards, in memory or mapped."""

    parts: tuple[ShardColumn, ...]
    starts: NDArray[np.int64]


class TokenStore:
    """Token samples of one split, by number."""

    def __init__(
        self,
        folders: Sequence[Path],
        streams: Sequence[Stream],
        *,
        fingerprints: Mapping[str, str] | None = None,
        in_memory: bool = True,
    ) -> None:
        """Open ``streams`` of the shards in ``folders``.

        Args:
            fingerprints: Of the tokenizers that the tokens must be of, by stream.
            in_memory: Read everything now, and compare checksums; otherwise map the files, and compare sizes.

        Raises:
            DataError: A stream is missing or damaged, or streams have unequal counts.
            CheckpointError: Tokens are of another tokenizer.
        """
        self.streams = {stream.name: stream for stream in streams}
        self._shards: dict[str, _StreamShards] = {}
        counts: dict[str, int] = {}
        for stream in streams:
            parts = tuple(self._open(folder, stream, fingerprints or {}, in_memory=in_memory) for folder in folders)
            if in_memory and len(parts) > 1:
                parts = (_concat_shards(parts),)
            self._shards[stream.name] = _StreamShards(
                parts=parts, starts=np.cumsum([0, *[len(part) for part in parts]])
            )
            counts[stream.name] = int(self._shards[stream.name].starts[-1])
        if len(set(counts.values())) > 1:
            counts_text = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"Streams have unequal counts of samples: {counts_text}. Make the token store again.")
        self.num_samples = next(iter(counts.values()), 0)

    def __len__(self) -> int:
        return self.num_samples

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        """The samples ``indices`` of ``streams``, each padded to the longest among them."""
        sample_indices = np.asarray(indices, dtype=np.int64)
        return {name: self._read_stream(name, sample_indices) for name in streams}

    def used_ids(self, stream: str) -> tuple[int, ...]:
        """Every id that occurs in a stream, in rising order."""
        return tuple(
            int(i) for i in np.unique(np.concatenate([np.unique(p.values) for p in self._shards[stream].parts]))
        )

    def _open(self, folder: Path, stream: Stream, fingerprints: Mapping[str, str], *, in_memory: bool) -> ShardColumn:
        metadata = read_manifest(folder / stream.name, verify_checksums=in_memory)
        expected = fingerprints.get(stream.name)
        if expected is not None and metadata["fingerprint"] != expected:
            raise CheckpointError(
                f"{folder / stream.name} holds tokens of tokenizer {metadata['fingerprint']}, expected {expected}: "
                "the tokenizer was trained again; make the tokens again too."
            )
        column = read_column(folder / stream.name, TOKENS_COLUMN, in_memory=in_memory)
        if len(column) != metadata["count"]:
            raise DataError(f"{folder / stream.name} has {len(column)} samples, expected {metadata['count']}.")
        return column

    def _read_stream(self, name: str, sample_indices: NDArray[np.int64]) -> PaddedTokens:
        shards = self._shards[name]
        if len(shards.parts) == 1:
            values, lengths = _gather(shards.parts[0], sample_indices, self.streams[name])
        else:
            values, lengths = self._gather_parts(shards, sample_indices, self.streams[name])
        return PaddedTokens(values=_to_tensor(values), lengths=torch.from_numpy(lengths))

    def _gather_parts(
        self, shards: _StreamShards, sample_indices: NDArray[np.int64], stream: Stream
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        part = np.searchsorted(shards.starts, sample_indices, side="right") - 1
        found = {
            int(number): _gather(shards.parts[number], sample_indices[part == number] - shards.starts[number], stream)
            for number in np.unique(part)
        }
        longest = max(values.shape[1] for values, _ in found.values())
        # A part whose samples all lack the stream knows neither its type nor its width.
        first = max(found.values(), key=lambda pair: int(pair[1].sum()))[0]
        values = np.zeros((len(sample_indices), longest, *first.shape[2:]), dtype=first.dtype)
        lengths = np.zeros(len(sample_indices), dtype=np.int64)
        for number, (rows, counts) in found.items():
            positions = np.flatnonzero(part == number)
            if counts.any():
                values[positions, : rows.shape[1]] = rows
            lengths[positions] = counts
        return values, lengths


def _gather(
    column: ShardColumn, sample_indices: NDArray[np.int64], stream: Stream
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values (b, n, ...) padded with zeros, and how many of them are there."""
    if column.offsets is None:
        values = np.asarray(column.values[sample_indices])
        full = stream.num_tokens if isinstance(stream, PixelStream) else values.shape[1]
        lengths = np.full(len(sample_indices), full, dtype=np.int64)
        return values, lengths
    starts, ends = column.offsets[sample_indices], column.offsets[sample_indices + 1]
    lengths = ends - starts
    step = np.arange(max(1, int(lengths.max(initial=0))))
    rows = np.minimum(starts[:, None] + step, max(0, len(column.values) - 1))
    is_valid = step < lengths[:, None]
    if not len(column.values):
        return np.zeros((len(sample_indices), len(step), *column.values.shape[1:]), dtype=column.values.dtype), lengths
    values = np.asarray(column.values[rows])
    values[~is_valid] = 0
    if isinstance(stream, PixelStream):
        lengths = np.where(lengths > 0, stream.num_tokens, 0)
    return values, lengths


def _concat_shards(parts: Sequence[ShardColumn]) -> ShardColumn:
    if all(part.offsets is None for part in parts):
        return ShardColumn(values=np.concatenate([part.values for part in parts]))
    offsets = [np.zeros(1, dtype=np.int64)]
    for part in parts:
        part_offsets = part.offsets
        if part_offsets is None:
            part_offsets = np.arange(len(part.values) + 1) * part.values.shape[1]
        offsets.append(part_offsets[1:] + offsets[-1][-1])
    flat = [
        part.values if part.offsets is not None else part.values.reshape(-1, *part.values.shape[2:]) for part in parts
    ]
    return ShardColumn(
        values=np.concatenate([item for item in flat if len(item)] or flat[:1]), offsets=np.concatenate(offsets)
    )


def _to_tensor(values: NDArray[Any]) -> Tensor:
    """Ids as int64, for embeddings take nothing smaller; pixels and vectors as they are."""
    if values.dtype in (np.uint16, np.uint32, np.int32):
        values = values.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(values))
