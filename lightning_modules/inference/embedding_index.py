"""Files of embeddings: keys, vectors, and what they were made with; written in batches."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from lightning_modules.checkpoints.safetensors import SafetensorsFile, write_safetensors
from modalities.errors import ConfigError, DataError, UserError
from modalities.sources.config import SourceConfig
from modalities.storage.serialization import from_plain, to_plain

INFO_KEY = "fourm_embeddings"
"""Key of `IndexInfo` in the metadata of a file."""
SUFFIXES = (".safetensors", ".parquet")
PARQUET_ROWS = 4096
"""Rows of one row group."""


@dataclass(frozen=True, kw_only=True)
class IndexInfo:
    """What the embeddings of a file were made with."""

    space: str
    width: int
    """Length of a vector."""
    inputs: tuple[str, ...]
    """Modalities that were embedded together."""
    fingerprint: str
    """Digest of the model's weights."""
    model: str = ""
    """Folder of the model."""
    source: SourceConfig
    split: str


@dataclass(frozen=True, kw_only=True)
class EmbeddingIndex:
    """The content of a file of embeddings."""

    info: IndexInfo
    keys: Sequence[str]
    vectors: Float[np.ndarray, "n d"]


class IndexWriter:
    """Collects embeddings in files of their own, so that memory does not grow with their number."""

    def __init__(self, folder: Path, width: int, *, with_tokens: bool) -> None:
        self.keys: list[str] = []
        self.counts: list[int] = []
        self.with_tokens, self.width = with_tokens, width
        self._vectors = (folder / "vectors").open("wb+")
        self._tokens = (folder / "tokens").open("wb+")

    def add(self, key: str, vector: Float[np.ndarray, " d"], tokens: Float[np.ndarray, "n d"] | None = None) -> None:
        """Add one sample."""
        self.keys.append(key)
        self._vectors.write(np.ascontiguousarray(vector, dtype=np.float32).tobytes())
        if self.with_tokens:
            assert tokens is not None
            self.counts.append(len(tokens))
            self._tokens.write(np.ascontiguousarray(tokens, dtype=np.float32).tobytes())

    def vectors(self) -> NDArray[np.float32]:
        """All vectors (n, d), mapped from their file."""
        return self._mapped(self._vectors)

    def tokens(self) -> NDArray[np.float32]:
        """All token vectors (sum of counts, d), mapped from their file."""
        return self._mapped(self._tokens)

    def close(self) -> None:
        """Close the files."""
        self._vectors.close()
        self._tokens.close()

    def _mapped(self, file: Any) -> NDArray[np.float32]:
        file.flush()
        if not file.tell():
            return np.zeros((0, self.width), dtype=np.float32)
        return np.memmap(file, dtype=np.float32, mode="r+").reshape(-1, self.width)


def check_index_path(path: Path) -> None:
    """Check the type of a file that is to be written.

    Raises:
        ConfigError: It is neither ``.safetensors`` nor ``.parquet``.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} has type {path.suffix or 'none'!r}, expected {' or '.join(SUFFIXES)}.")


@contextmanager
def write_index(path: Path, info: IndexInfo, *, with_tokens: bool = False) -> Iterator[IndexWriter]:
    """A writer whose samples become a file when the block ends without an error.

    A safetensors file holds ``embeddings`` (n, d) float32 and ``keys``, the keys as JSON in bytes; with tokens also
    ``tokens`` (sum of n, d) and ``token_counts`` (n,). A Parquet file has the columns ``key`` and ``embedding``, and
    ``tokens``. The metadata of either hold `IndexInfo` as JSON.

    Raises:
        OSError: The file cannot be written.
        UserError: Parquet is asked for and pyarrow is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        writer = IndexWriter(Path(scratch), info.width, with_tokens=with_tokens)
        try:
            yield writer
            partial = Path(scratch) / "result"
            write = _write_parquet if path.suffix == ".parquet" else _write_safetensors
            write(partial, info, writer)
        finally:
            writer.close()
        partial.replace(path)


def read_index(path: Path) -> EmbeddingIndex:
    """The embeddings in a file; those of a safetensors file are mapped.

    Raises:
        DataError: The file is missing, damaged, or holds something else.
        ConfigError: It is of another type.
    """
    check_index_path(path)
    if not path.is_file():
        raise DataError(f"There is no index {path}: make one with fourm embed.")
    text, keys, vectors = (_read_parquet if path.suffix == ".parquet" else _read_safetensors)(path)
    try:
        info = from_plain(IndexInfo, json.loads(text))
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} does not say what it was made with ({error}): make it with fourm embed.") from error
    if vectors.ndim != 2 or vectors.shape != (len(keys), info.width):
        raise DataError(f"{path} has {len(keys)} keys and embeddings {vectors.shape}, expected width {info.width}.")
    return EmbeddingIndex(info=info, keys=keys, vectors=vectors)


def _write_safetensors(path: Path, info: IndexInfo, writer: IndexWriter) -> None:
    content = np.frombuffer(json.dumps(writer.keys).encode(), dtype=np.uint8)
    tensors = {"embeddings": torch.from_numpy(writer.vectors()), "keys": torch.from_numpy(content.copy())}
    if writer.with_tokens:
        tensors["tokens"] = torch.from_numpy(writer.tokens())
        tensors["token_counts"] = torch.tensor(writer.counts, dtype=torch.int64)
    write_safetensors(path, tensors, {INFO_KEY: json.dumps(to_plain(info))})


def _read_safetensors(path: Path) -> tuple[str, Sequence[str], NDArray[np.float32]]:
    try:
        file = SafetensorsFile(path)
        if INFO_KEY not in file.metadata or "embeddings" not in file:
            raise DataError(f"{path} holds no embeddings: make an index with fourm embed.")
        keys = json.loads(bytes(file["keys"].numpy()))
        return file.metadata[INFO_KEY], keys, file["embeddings"].numpy()
    except (UserError, ValueError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{path} is damaged: {error}") from error


def _write_parquet(path: Path, info: IndexInfo, writer: IndexWriter) -> None:
    pyarrow, parquet = _import_pyarrow()
    vector = pyarrow.list_(pyarrow.float32(), info.width)
    columns = {"key": pyarrow.string(), "embedding": vector}
    if writer.with_tokens:
        columns["tokens"] = pyarrow.list_(vector)
    schema = pyarrow.schema(columns, metadata={INFO_KEY: json.dumps(to_plain(info))})
    vectors, tokens = writer.vectors(), writer.tokens()
    starts = np.cumsum([0, *writer.counts])
    with parquet.ParquetWriter(path, schema) as file:
        for first in range(0, len(writer.keys), PARQUET_ROWS):
            last = min(first + PARQUET_ROWS, len(writer.keys))
            arrays = [pyarrow.array(writer.keys[first:last]), _vector_array(pyarrow, vectors[first:last])]
            if writer.with_tokens:
                offsets = starts[first : last + 1]
                items = _vector_array(pyarrow, tokens[offsets[0] : offsets[-1]])
                arrays.append(pyarrow.ListArray.from_arrays((offsets - offsets[0]).astype(np.int32), items))
            file.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _vector_array(pyarrow: Any, vectors: NDArray[np.float32]) -> Any:
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])


def _read_parquet(path: Path) -> tuple[str, Sequence[str], NDArray[np.float32]]:
    pyarrow, parquet = _import_pyarrow()
    try:
        table = parquet.read_table(path, columns=["key", "embedding"])
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.") from error
    text = (table.schema.metadata or {}).get(INFO_KEY.encode())
    if text is None:
        raise DataError(f"{path} holds no embeddings: make an index with fourm embed.")
    column = table["embedding"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return text.decode(), table["key"].to_pylist(), vectors


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ConfigError("Parquet files need pyarrow (pip install pyarrow); .safetensors needs nothing.") from None
    return pyarrow, parquet
