"""From tokens back to values: the one way that round trips and predictions share, so that one bounds the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from evaluation.held_out import Codecs
from modalities.spec import SequenceModality, learnt
from networks.devices import device_of
from networks.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Read:
    """What written sequences mean."""

    values: list[Any]
    well_formed: list[bool]


@torch.no_grad()
def decode_dense(codecs: Codecs, name: str, ids: Int[Tensor, "b n"]) -> list[Any]:
    """The values that the tokens of a dense modality stand for."""
    tokenizer = tokenizer_of(codecs, name)
    return _restored(codecs, name, tokenizer.decode(ids.to(device_of(tokenizer))))


@torch.no_grad()
def decode_soft(codecs: Codecs, name: str, probabilities: Float[Tensor, "b n v"]) -> list[Any]:
    """The values of the probability-weighted mean of the code vectors."""
    tokenizer = tokenizer_of(codecs, name)
    return _restored(codecs, name, tokenizer.decode_soft(probabilities.to(device_of(tokenizer))))


@torch.no_grad()
def decode_sequences(codecs: Codecs, name: str, ids: Sequence[Sequence[int]]) -> Read:
    """The values that sequences of text ids stand for, their learnt parts decoded in one batch."""
    modality = codecs.modalities[name]
    assert isinstance(modality, SequenceModality)
    assert codecs.text is not None
    parsed = [modality.parse(codecs.text.decode(row)) for row in ids]
    values = [item.value for item in parsed]
    part = learnt(modality)
    codes = [item.codes for item in parsed]
    if part is not None and any(rows is not None and len(rows) for rows in codes):
        sizes = [0 if rows is None else len(rows) for rows in codes]
        rows = _parts(codecs.learnt[part.tokenizer.name], np.concatenate([item for item in codes if item is not None]))
        ends = np.cumsum(sizes)
        values = [
            modality.with_codes(value, rows[end - size : end]) if size else value
            for value, size, end in zip(values, sizes, ends.tolist(), strict=True)
        ]
    return Read(values=values, well_formed=[item.well_formed for item in parsed])


def tokenizer_of(codecs: Codecs, name: str) -> Tokenizer:
    """The trained tokenizer of a modality, or of the learnt part of its text."""
    part = learnt(codecs.modalities[name])
    assert part is not None, name
    return codecs.learnt[part.tokenizer.name]


def is_dense(codecs: Codecs, name: str) -> bool:
    """True where a modality is predicted by unmasking."""
    return codecs.modalities[name].data_type == "dense"


def _restored(codecs: Codecs, name: str, rows: Float[Tensor, "b ..."]) -> list[Any]:
    modality = codecs.modalities[name]
    return [modality.restore(row) for row in rows.float().cpu().numpy()]


def _parts(tokenizer: Tokenizer, codes: Int[np.ndarray, "parts n"]) -> Float[np.ndarray, "parts ..."]:
    """What the codes inside texts stand for. A code that the codebook does not have counts as its last."""
    ids = torch.from_numpy(codes.clip(0, tokenizer.vocab - 1)).to(device_of(tokenizer))
    decoded = [tokenizer.decode(part) for part in torch.split(ids, 256)]
    rows: Float[np.ndarray, "parts ..."] = torch.cat(decoded).float().cpu().numpy()
    return rows
