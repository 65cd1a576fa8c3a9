"""Search in an index of embeddings by cosine similarity: exact, or approximate in large ones with faiss."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from lightning_modules.inference.embedding import Embedder
from lightning_modules.inference.embedding_index import EmbeddingIndex
from modalities.errors import DataError

LARGE_INDEX = 100_000
"""Vectors from which on faiss searches, where it is installed."""
CHUNK_ROWS = 65_536
"""Vectors that the exact search holds at once."""
TRAINING_ROWS_PER_LIST = 64
PROBED_SHARE = 8
"""The approximate search looks at one in so many of faiss' lists."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One entry of an index that a query found."""

    key: str
    similarity: float
    """Cosine of the angle between query and entry."""


def check_index(path: Path, index: EmbeddingIndex, embedder: Embedder) -> None:
    """Check that an index can be searched with the embeddings of a model.

    Raises:
        DataError: It is empty, or was made by another model, in another space, or with another width.
    """
    info = index.info
    if not len(index.keys):
        raise DataError(f"{path} is empty: it has nothing to search in.")
    if info.fingerprint != embedder.fingerprint:
        raise DataError(
            f"{path} was made by the model {info.fingerprint} ({info.model}), expected {embedder.fingerprint}: "
            "name that model, or embed again."
        )
    if (info.space, info.width) != (embedder.space, embedder.width):
        raise DataError(
            f"{path} holds embeddings of the space {info.space!r} and width {info.width}, expected "
            f"{embedder.space!r} and {embedder.width}: embed again."
        )


def search_exact(index: EmbeddingIndex, query: Float[np.ndarray, " d"], top: int) -> list[Answer]:
    """The ``top`` entries that are nearest to a query, or all where there are fewer; ties go to the earlier entry."""
    similarity = np.concatenate([rows @ _unit(query[None])[0] for rows in _unit_rows(index.vectors)])
    order = np.argsort(-similarity, kind="stable")[:top]
    return [Answer(key=index.keys[number], similarity=float(similarity[number])) for number in order.tolist()]


def search_approximately(
    path: Path, index: EmbeddingIndex, query: Float[np.ndarray, " d"], top: int, faiss: Any
) -> list[Answer]:
    """The nearest entries among those in an eighth of faiss' inverted lists, which are kept beside the index.

    Args:
        path: File of the index.
        faiss: The module.
    """
    lists = _inverted_lists(path, index, faiss)
    lists.nprobe = max(1, lists.nlist // PROBED_SHARE)
    similarity, numbers = lists.search(_unit(query[None]), min(top, len(index.keys)))
    return [
        Answer(key=index.keys[number], similarity=float(value))
        for value, number in zip(similarity[0], numbers[0].tolist(), strict=True)
        if number >= 0
    ]


def _inverted_lists(path: Path, index: EmbeddingIndex, faiss: Any) -> Any:
    """The lists in the file ``PATH.faiss``, which is written where it is missing or older than the index."""
    cache = path.with_name(f"{path.name}.faiss")
    if cache.exists() and cache.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return faiss.read_index(str(cache))
    count, width = index.vectors.shape
    num_lists = max(1, int(4 * count**0.5))
    lists = faiss.index_factory(width, f"IVF{num_lists},Flat", faiss.METRIC_INNER_PRODUCT)
    step = max(1, count // (TRAINING_ROWS_PER_LIST * num_lists))
    lists.train(_unit(np.array(index.vectors[::step])))
    for rows in _unit_rows(index.vectors):
        lists.add(rows)
    partial = cache.with_name(f".{cache.name}.partial")
    faiss.write_index(lists, str(partial))
    partial.replace(cache)
    return lists


def _unit_rows(vectors: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(vectors), CHUNK_ROWS):
        yield _unit(np.asarray(vectors[first : first + CHUNK_ROWS]))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit.astype(np.float32)
