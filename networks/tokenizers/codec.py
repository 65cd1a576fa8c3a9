"""From tokens back to values: the one way that round trips and predictions share, so that one bounds the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modalities.spec import Modality, SequenceModality, learned_tokenizer
from networks.device import module_device
from networks.streams import Stream
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Codec:
    """What turns values into tokens and back."""

    modalities: Mapping[str, Modality]
    """Every modality of every arm, at the run's scale."""
    streams: tuple[Stream, ...]
    """Their streams."""
    tokenizers: Mapping[str, Tokenizer]
    """Trained tokenizers by the name of their task."""
    text_tokenizer: TextTokenizer | None = None

    def stream(self, name: str) -> Stream:
        """The stream of that name."""
        return next(stream for stream in self.streams if stream.name == name)

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that a model can predict, in their order."""
        return tuple(name for name, modality in self.modalities.items() if modality.is_target)


@dataclass(frozen=True, kw_only=True)
class DecodedSequences:
    """What written sequences mean."""

    values: list[Any]
    well_formed: list[bool]


@torch.no_grad()
def decode_dense(codec: Codec, name: str, ids: Int[Tensor, "b n"]) -> list[Any]:
    """The values that the tokens of a dense modality stand for."""
    tokenizer = tokenizer_for(codec, name)
    return _postprocess_rows(codec, name, tokenizer.decode(ids.to(module_device(tokenizer))))


@torch.no_grad()
def decode_soft(codec: Codec, name: str, probabilities: Float[Tensor, "b n v"]) -> list[Any]:
    """The values of the probability-weighted mean of the code vectors."""
    tokenizer = tokenizer_for(codec, name)
    return _postprocess_rows(codec, name, tokenizer.decode_soft(probabilities.to(module_device(tokenizer))))


@torch.no_grad()
def decode_sequences(codec: Codec, name: str, ids: Sequence[Sequence[int]]) -> DecodedSequences:
    """The values that sequences of text ids stand for, their learnt parts decoded in one batch."""
    modality = codec.modalities[name]
    assert isinstance(modality, SequenceModality)
    assert codec.text_tokenizer is not None
    parsed = [modality.parse(codec.text_tokenizer.decode(row)) for row in ids]
    values = [item.value for item in parsed]
    part = learned_tokenizer(modality)
    codes = [item.codes for item in parsed]
    if part is not None and any(rows is not None and len(rows) for rows in codes):
        sizes = [0 if rows is None else len(rows) for rows in codes]
        rows = _decode_parts(
            codec.tokenizers[part.tokenizer.name], np.concatenate([item for item in codes if item is not None])
        )
        ends = np.cumsum(sizes)
        values = [
            modality.with_decoded_parts(value, rows[end - size : end]) if size else value
            for value, size, end in zip(values, sizes, ends.tolist(), strict=True)
        ]
    return DecodedSequences(values=values, well_formed=[item.well_formed for item in parsed])


def tokenizer_for(codec: Codec, name: str) -> Tokenizer:
    """The trained tokenizer of a modality, or of the learnt part of its text."""
    part = learned_tokenizer(codec.modalities[name])
    assert part is not None, name
    return codec.tokenizers[part.tokenizer.name]


def is_dense(codec: Codec, name: str) -> bool:
    """True where a modality is predicted by unmasking."""
    return codec.modalities[name].data_type == "dense"


def _postprocess_rows(codec: Codec, name: str, rows: Float[Tensor, "b ..."]) -> list[Any]:
    modality = codec.modalities[name]
    return [modality.postprocess(row) for row in rows.float().cpu().numpy()]


def _decode_parts(tokenizer: Tokenizer, codes: Int[np.ndarray, "parts n"]) -> Float[np.ndarray, "parts ..."]:
    """What the codes inside texts stand for. A code that the codebook does not have counts as its last."""
    ids = torch.from_numpy(codes.clip(0, tokenizer.vocab_size - 1)).to(module_device(tokenizer))
    decoded = [tokenizer.decode(part) for part in torch.split(ids, 256)]
    rows: Float[np.ndarray, "parts ..."] = torch.cat(decoded).float().cpu().numpy()
    return rows
