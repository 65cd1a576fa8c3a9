"""The token store: per shard and stream one file of tokens, with the fingerprint of the tokenizer that wrote it.

Adding a stream adds a folder and touches no other. Any number of processes may write different shards.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.data.index import SampleIndex
from lightning_modules.data.shards import ShardColumn, read_column, read_manifest, write_column, write_manifest
from modalities.errors import CheckpointError, DataError
from modalities.storage.atomic import atomic_folder
from networks.batch import PaddedTokens, Samples
from networks.streams import EmbeddingStream, PixelStream, Stream

TOKENS_COLUMN = "tokens"


def write_tokens(
    folder: Path, column: str, values: Sequence[Any], fingerprint: str, *, vocab_size: int | None = None
) -> None:
    """Write one stream's tokens of one shard atomically into ``folder / column``.

    Args:
        values: An array for each sample: ids (n,), pixels (h, w, c) or vectors (n, c); None where it lacks the stream.
        fingerprint: Of the tokenizer that made the ids.
        vocab_size: Size of the vocabulary that the ids are taken from; they are stored in the smallest type that
            holds it. None stores the arrays in the type that they have.

    Raises:
        DataError: An id is outside the vocabulary, or the folder cannot be written.
    """
    if vocab_size is not None:
        values = [None if ids is None else _pack_ids(np.asarray(ids), vocab_size, column) for ids in values]
    with atomic_folder(folder / column) as partial:
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


def _pack_ids(ids: NDArray[Any], vocab_size: int, column: str) -> NDArray[Any]:
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if len(outside):
        raise DataError(
            f"Stream {column!r} has the id {int(outside[0])}, expected 0 to {vocab_size - 1}: "
            "its tokenizer and its vocabulary do not fit."
        )
    return ids.astype(id_dtype(vocab_size))


class TokenStore:
    """Token samples of one split, by number; read from files when they are asked for."""

    def __init__(
        self,
        folders: Sequence[Path],
        streams: Sequence[Stream],
        *,
        fingerprints: Mapping[str, str] | None = None,
        column_names: Mapping[str, str] | None = None,
        omitted: Sequence[int] = (),
        verify_checksums: bool = False,
    ) -> None:
        """Open ``streams`` of the shards in ``folders``.

        Args:
            fingerprints: Of the tokenizers that the tokens must be of, by stream.
            column_names: Name of each stream's folder in a shard, where it is not the stream's own.
            omitted: Samples that are left out, counted over all shards.
            verify_checksums: Read all files once and compare their checksums; otherwise sizes, and the files' ends.

        Raises:
            DataError: A stream is missing or damaged, or streams have unequal counts.
            CheckpointError: Tokens are of another tokenizer.
        """
        self.streams = {stream.name: stream for stream in streams}
        self._columns: dict[str, tuple[ShardColumn, ...]] = {}
        counts: dict[str, list[int]] = {}
        for stream in streams:
            name, expected = (column_names or {}).get(stream.name, stream.name), (fingerprints or {}).get(stream.name)
            self._columns[stream.name] = columns = tuple(
                _open_column(folder / name, expected, verify_checksums=verify_checksums) for folder in folders
            )
            counts[stream.name] = [len(column) for column in columns]
        if len({tuple(item) for item in counts.values()}) > 1:
            counts_text = ", ".join(f"{name} {sum(item)}" for name, item in counts.items())
            raise DataError(f"Streams have unequal counts of samples: {counts_text}. Make the token store again.")
        self._index = SampleIndex(next(iter(counts.values()), []), omitted)
        self.num_samples = len(self._index)

    def __len__(self) -> int:
        return self.num_samples

    def read(self, indices: Any, streams: Sequence[str]) -> Samples:
        """The samples ``indices`` of ``streams``, each padded to the longest among them."""
        shards, rows = self._index.locate(np.asarray(indices, dtype=np.int64))
        places = list(zip(shards.tolist(), rows.tolist(), strict=True))
        return {name: self._read_stream(name, places) for name in streams}

    def used_ids(self, stream: str) -> tuple[int, ...]:
        """Every id that occurs in a stream, in rising order; one shard is in memory at a time."""
        found: set[int] = set()
        for shard, column in enumerate(self._columns[stream]):
            kept = self._index.kept_rows(shard)
            if isinstance(kept, slice) or column.offsets is None:
                found.update(np.unique(column.values[kept]).tolist())
            else:
                rows = [column[row] for row in kept.tolist()]
                found.update(int(number) for row in rows if row is not None for number in row)
        return tuple(sorted(found))

    def _read_stream(self, name: str, places: Sequence[tuple[int, int]]) -> PaddedTokens:
        columns = self._columns[name]
        return pad_tokens(self.streams[name], [columns[shard][row] for shard, row in places])


def pad_tokens(stream: Stream, samples: Sequence[NDArray[Any] | None]) -> PaddedTokens:
    """One stream's tokens of some samples, padded to the longest.

    Args:
        samples: An array for each sample: ids (n,), pixels (h, w, c) or vectors (n, c); None where it lacks the stream.
    """
    lengths = np.array([0 if tokens is None else len(tokens) for tokens in samples], dtype=np.int64)
    filled = [tokens for tokens in samples if tokens is not None and len(tokens)]
    shape, dtype = _empty_tokens(stream)
    if filled:
        shape, dtype = filled[0].shape[1:], np.result_type(*{tokens.dtype for tokens in filled})
    values = np.zeros((len(samples), max(1, int(lengths.max(initial=0))), *shape), dtype=dtype)
    for row, tokens in enumerate(samples):
        if tokens is not None:
            values[row, : len(tokens)] = tokens
    if isinstance(stream, PixelStream):
        lengths = np.where(lengths > 0, stream.num_tokens, 0)
    return PaddedTokens(values=_to_tensor(values), lengths=torch.from_numpy(lengths))


def _open_column(folder: Path, fingerprint: str | None, *, verify_checksums: bool) -> ShardColumn:
    metadata = read_manifest(folder, verify_checksums=verify_checksums)
    if fingerprint is not None and metadata["fingerprint"] != fingerprint:
        raise CheckpointError(
            f"{folder} holds tokens of tokenizer {metadata['fingerprint']}, expected {fingerprint}: "
            "the tokenizer was trained again; make the tokens again too."
        )
    column = read_column(folder, TOKENS_COLUMN)
    if len(column) != metadata["count"]:
        raise DataError(f"{folder} has {len(column)} samples, expected {metadata['count']}.")
    return column


def _empty_tokens(stream: Stream) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape behind the token axis, and type, of a batch whose samples all lack the stream."""
    match stream:
        case PixelStream():
            return (stream.grid * stream.patch, stream.channels // stream.patch**2), np.dtype(np.uint8)
        case EmbeddingStream():
            return (stream.channels,), np.dtype(np.float16)
        case _:
            return (), np.dtype(np.int64)


def _to_tensor(values: NDArray[Any]) -> Tensor:
    """Ids as int64, for embeddings take nothing smaller; pixels and vectors as they are."""
    if values.dtype in (np.uint16, np.uint32, np.int32):
        values = values.astype(np.int64)
    return torch.from_numpy(values)
