"""Rows that tokenizers read: the preprocessed values of one modality, or of all that share a tokenizer."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.data.raw import RawStore
from modalities.spec import Modality


def load_rows(raw: RawStore, max_rows: int) -> Tensor:
    """The rows of all modalities of a store, one modality after the other; at most ``max_rows``, evenly from each."""
    per_modality = -(-max_rows // len(raw))
    parts = [part for name in raw for part in preprocessed_rows(raw.modalities[name], raw[name][:], per_modality)]
    return rows_tensor(parts)


def preprocessed_rows(modality: Modality, values: Iterable[Any], max_rows: int) -> list[NDArray[Any]]:
    """The preprocessed rows of each value that is not missing, at most ``max_rows`` in all."""
    parts: list[NDArray[Any]] = []
    count = 0
    for value in values:
        if value is None or count >= max_rows:
            continue
        rows = modality.preprocess(value)
        parts.append(rows[: max_rows - count])
        count += len(rows)
    return parts


def rows_tensor(parts: Sequence[NDArray[Any]]) -> Tensor:
    """Rows end to end: int64 for classes, else float32."""
    rows = np.concatenate(parts)
    return torch.from_numpy(rows.astype(np.int64 if rows.dtype.kind in "iu" else np.float32, copy=False))
