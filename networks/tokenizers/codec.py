"""Values to tokens and tokens to values of every modality: the one way that data, evaluation and inference share.

The round trip of a modality's own tokens thereby bounds what a model can reach that predicts them.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from modalities.layouts import Dense, Embeddings, Text, Vector
from modalities.spec import Modality, SequenceModality, learned_tokenizer
from networks.device import module_device
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer

ENCODE_BATCH_SIZE = 256
"""Rows that a learned tokenizer encodes or decodes at once."""

TokenArray: TypeAlias = NDArray[Any]
"""Ids (n,) int64, or embeddings (n, c) float16."""


@dataclass(frozen=True, kw_only=True)
class DecodedValues:
    """Values of tokens."""

    values: list[Any]
    well_formed: list[bool]
    """True where a sequence follows its modality's grammar; always true of dense modalities."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Encoder and decoder of values: modalities with the tokenizers that they need."""

    modalities: Mapping[str, Modality]
    """By name, at the scale of the tokens."""
    tokenizers: Mapping[str, Tokenizer]
    """Learned tokenizers, by the name of their task."""
    text_tokenizer: TextTokenizer | None = None
    """None where no modality is a sequence of text tokens."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that a model can predict, in their order."""
        return tuple(name for name, modality in self.modalities.items() if modality.is_target)

    def is_dense(self, name: str) -> bool:
        """True for a modality of a fixed number of tokens, which is predicted by unmasking."""
        return self.modalities[name].data_type == "dense"

    def tokenizer(self, name: str) -> Tokenizer:
        """The learned tokenizer of a modality, or of the coded parts of its text."""
        part = learned_tokenizer(self.modalities[name])
        assert part is not None, name
        return self.tokenizers[part.tokenizer.name]

    def vocab_size(self, name: str) -> int | None:
        """Number of ids that the tokens of a modality are taken from; None for embeddings."""
        match self.modalities[name].layout:
            case Dense() | Vector():
                return self.tokenizer(name).vocab_size
            case Text():
                return self._require_text_tokenizer(name).vocab_size
            case Embeddings():
                return None
            case layout:
                assert_never(layout)

    def encode(self, name: str, values: Sequence[Any], *, seed: int = 0, first: int = 0) -> list[TokenArray | None]:
        """The tokens of each value; None where the value is None.

        Args:
            seed: With a sample's number and the modality's name, seeds what serialization draws.
            first: Number of the first value.
        """
        modality = self.modalities[name]
        match modality.layout:
            case Dense() | Vector():
                tokenizer = self.tokenizer(name)
                present = [value is not None for value in values]
                rows = [modality.preprocess(value) for value in values if value is not None]
                codes = iter(encode_rows(tokenizer, np.concatenate(rows)) if rows else ())
                return [next(codes) if is_present else None for is_present in present]
            case Text(max_tokens=longest):
                text_tokenizer = self._require_text_tokenizer(name)
                sequences = self._encode_sequences(name, values, text_tokenizer, seed, first)
                return [None if ids is None else np.array(ids[:longest], dtype=np.int64) for ids in sequences]
            case Embeddings(max_tokens=longest):
                return [None if value is None else np.asarray(value, dtype=np.float16)[:longest] for value in values]

    def serialize(self, name: str, values: Sequence[Any], *, seed: int = 0, first: int = 0) -> list[str | None]:
        """The text of each value of a sequence modality, its parts coded; None where the value is None.

        Args:
            seed: As for `encode`.
            first: Number of the first value.
        """
        modality = self.modalities[name]
        assert isinstance(modality, SequenceModality)
        codes = self._encode_parts(modality, values) if learned_tokenizer(modality) else [None] * len(values)
        return [
            None
            if value is None
            else modality.serialize(value, _sample_rng(seed, first + number, modality.name), sample_codes)
            for number, (value, sample_codes) in enumerate(zip(values, codes, strict=True))
        ]

    @torch.no_grad()
    def decode(self, name: str, ids: Int[Tensor, "b n"] | Sequence[Sequence[int]]) -> DecodedValues:
        """The values of tokens: ids (b, n) of a dense modality, or one list of text ids for each sequence."""
        if not self.is_dense(name):
            assert not isinstance(ids, Tensor)
            return self._decode_sequences(name, ids)
        tokenizer = self.tokenizer(name)
        dense_ids = ids if isinstance(ids, Tensor) else torch.tensor(ids)
        return self._postprocess(name, tokenizer.decode(dense_ids.to(module_device(tokenizer))))

    @torch.no_grad()
    def decode_soft(self, name: str, probabilities: Float[Tensor, "b n v"]) -> DecodedValues:
        """The values of the probability-weighted mean of the code vectors of a dense modality."""
        tokenizer = self.tokenizer(name)
        return self._postprocess(name, tokenizer.decode_soft(probabilities.to(module_device(tokenizer))))

    def _require_text_tokenizer(self, name: str) -> TextTokenizer:
        assert self.text_tokenizer is not None, name
        return self.text_tokenizer

    def _encode_sequences(
        self, name: str, values: Sequence[Any], text_tokenizer: TextTokenizer, seed: int, first: int
    ) -> list[list[int] | None]:
        texts = self.serialize(name, values, seed=seed, first=first)
        encoded = iter(text_tokenizer.encode_batch([text for text in texts if text is not None]))
        return [None if text is None else [*next(encoded), text_tokenizer.eos_id] for text in texts]

    def _encode_parts(self, modality: SequenceModality, values: Sequence[Any]) -> Sequence[NDArray[np.int64] | None]:
        """The codes (parts, n) of each value's coded parts."""
        rows = [modality.preprocess(value) if value is not None else None for value in values]
        counts = [0 if item is None else len(item) for item in rows]
        parts = [item for item in rows if item is not None and len(item)]
        tokenizer = self.tokenizer(modality.name)
        empty = np.zeros((0, tokenizer.num_tokens), dtype=np.int64)
        encoded = encode_rows(tokenizer, np.concatenate(parts)) if parts else empty
        return np.split(encoded, np.cumsum(counts)[:-1])

    def _decode_sequences(self, name: str, ids: Sequence[Sequence[int]]) -> DecodedValues:
        """Values of sequences, the coded parts of all of them decoded in one batch."""
        modality = self.modalities[name]
        assert isinstance(modality, SequenceModality)
        text_tokenizer = self._require_text_tokenizer(name)
        parsed = [modality.parse(text_tokenizer.decode(row)) for row in ids]
        values = [item.value for item in parsed]
        codes = [item.codes for item in parsed]
        if learned_tokenizer(modality) is not None and any(rows is not None and len(rows) for rows in codes):
            sizes = [0 if rows is None else len(rows) for rows in codes]
            all_codes = np.concatenate([item for item in codes if item is not None])
            rows = decode_rows(self.tokenizer(name), all_codes)
            ends = np.cumsum(sizes)
            values = [
                modality.with_decoded_parts(value, rows[end - size : end]) if size else value
                for value, size, end in zip(values, sizes, ends.tolist(), strict=True)
            ]
        return DecodedValues(values=values, well_formed=[item.well_formed for item in parsed])

    def _postprocess(self, name: str, rows: Float[Tensor, "b ..."]) -> DecodedValues:
        values = [self.modalities[name].postprocess(row) for row in rows.float().cpu().numpy()]
        return DecodedValues(values=values, well_formed=[True] * len(values))


@torch.no_grad()
def encode_rows(tokenizer: Tokenizer, rows: NDArray[Any]) -> NDArray[np.int64]:
    """Codes (rows, n) of preprocessed values (rows, ...)."""
    tokenizer.eval()
    kind, device = np.int64 if rows.dtype.kind in "iu" else np.float32, module_device(tokenizer)
    values = (
        torch.from_numpy(rows[start : start + ENCODE_BATCH_SIZE].astype(kind))
        for start in range(0, len(rows), ENCODE_BATCH_SIZE)
    )
    parts = [tokenizer.encode(part.to(device)).cpu().numpy() for part in values]
    return np.concatenate(parts) if parts else np.zeros((0, tokenizer.num_tokens), dtype=np.int64)


@torch.no_grad()
def decode_rows(tokenizer: Tokenizer, codes: Int[np.ndarray, "rows n"]) -> Float[np.ndarray, "rows ..."]:
    """Reconstructions of codes; a code beyond the codebook counts as its last."""
    ids = torch.from_numpy(codes.clip(0, tokenizer.vocab_size - 1)).to(module_device(tokenizer))
    decoded = [tokenizer.decode(part) for part in torch.split(ids, ENCODE_BATCH_SIZE)]
    rows: Float[np.ndarray, "rows ..."] = torch.cat(decoded).float().cpu().numpy()
    return rows


def _sample_rng(seed: int, number: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, number, zlib.crc32(name.encode())])
