"""Raw values to tokens, one shard at a time."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_modules.data.raw import RawStore
from lightning_modules.data.store import write_tokens
from modalities.layouts import Dense, Embeddings, Text, Vector
from modalities.spec import Modality, SequenceModality, learned_tokenizer
from modalities.tokenizer_specs import WordPiece
from networks.device import module_device
from networks.streams import pixel_stream_name
from networks.tokenizers.text import TextTokenizer
from networks.tokenizers.tokenizer import Tokenizer

ENCODE_BATCH_SIZE = 256
"""Rows that a learnt tokenizer encodes at once."""


@torch.no_grad()
def encode_rows(tokenizer: Tokenizer, rows: NDArray[Any]) -> NDArray[np.int64]:
    """Codes (rows, n) of prepared values (rows, ...)."""
    tokenizer.eval()
    kind, device = np.int64 if rows.dtype.kind in "iu" else np.float32, module_device(tokenizer)
    values = (
        torch.from_numpy(rows[start : start + ENCODE_BATCH_SIZE].astype(kind))
        for start in range(0, len(rows), ENCODE_BATCH_SIZE)
    )
    parts = [tokenizer.encode(part.to(device)).cpu().numpy() for part in values]
    return np.concatenate(parts) if parts else np.zeros((0, tokenizer.num_tokens), dtype=np.int64)


def encode_values(
    modality: Modality,
    values: Sequence[Any],
    learnt_tokenizer: Tokenizer | None,
    text: TextTokenizer | None,
    *,
    seed: int,
    first: int,
) -> list[NDArray[Any] | None]:
    """The tokens of each value: ids as int64, vectors as float16; None where the value is missing.

    Args:
        seed: With a sample's number and the modality's name, seeds what serialisation draws.
        first: Number of the first value.
    """
    match modality.layout:
        case Dense() | Vector():
            assert learnt_tokenizer is not None
            present = [value is not None for value in values]
            rows = [modality.preprocess(value) for value in values if value is not None]
            codes = iter(encode_rows(learnt_tokenizer, np.concatenate(rows)) if rows else ())
            return [next(codes) if is_present else None for is_present in present]
        case Text(max_tokens=longest):
            assert isinstance(modality, SequenceModality)
            assert text is not None
            ids = [
                None if item is None else item[:longest]
                for item in _encode_sequences(modality, values, learnt_tokenizer, text, seed, first)
            ]
            return [None if item is None else np.array(item, dtype=np.int64) for item in ids]
        case Embeddings(max_tokens=longest):
            return [None if value is None else np.asarray(value, dtype=np.float16)[:longest] for value in values]


def _encode_sequences(
    modality: SequenceModality,
    values: Sequence[Any],
    tokenizer: Tokenizer | None,
    text: TextTokenizer,
    seed: int,
    first: int,
) -> list[list[int] | None]:
    codes: list[NDArray[np.int64] | None] = [None] * len(values)
    if isinstance(modality.tokenizer, WordPiece) and modality.tokenizer.codes is not None:
        assert tokenizer is not None
        rows = [modality.preprocess(value) if value is not None else None for value in values]
        counts = [0 if item is None else len(item) for item in rows]
        parts = [item for item in rows if item is not None and len(item)]
        encoded = (
            encode_rows(tokenizer, np.concatenate(parts)) if parts else np.zeros((0, tokenizer.num_tokens), np.int64)
        )
        codes = list(np.split(encoded, np.cumsum(counts)[:-1]))
    sentences = [
        None
        if value is None
        else modality.serialize(value, _sample_rng(seed, first + number, modality.name), sample_codes)
        for number, (value, sample_codes) in enumerate(zip(values, codes, strict=True))
    ]
    encoded_lines = iter(text.encode_batch([line for line in sentences if line is not None]))
    return [None if line is None else [*next(encoded_lines), text.eos_id] for line in sentences]


def _sample_rng(seed: int, number: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, number, zlib.crc32(name.encode())])


def tokenize_shard(
    folder: Path,
    raw: RawStore,
    tokenizers: Mapping[str, Tokenizer],
    text: TextTokenizer | None,
    fingerprints: Mapping[str, str],
    *,
    first: int = 0,
    seed: int = 0,
    progress: Any = None,
) -> None:
    """Write the tokens of every modality of ``raw`` into ``folder``, one stream after the other.

    Args:
        tokenizers: Learnt ones, by the name of their task.
        text: None where no modality is spelled as text.
        fingerprints: Of the tokenizers, by stream.
        first: Number of the first sample in its split.
    """
    for done, (name, modality) in enumerate(raw.modalities.items()):
        codes = learned_tokenizer(modality)
        tokenizer = tokenizers[codes.tokenizer.name] if codes else None
        values = raw[name][:]
        if modality.has_pixel_stream:
            write_tokens(folder, pixel_stream_name(name), values, "raw")
        tokens = encode_values(modality, values, tokenizer, text, seed=seed, first=first)
        write_tokens(folder, name, tokens, fingerprints[name], vocab_size=_vocab_size(modality, tokenizer, text))
        if progress is not None:
            progress((done + 1) / len(raw.modalities))


def _vocab_size(modality: Modality, learned: Tokenizer | None, text: TextTokenizer | None) -> int | None:
    """Number of ids that the modality's tokens are taken from; None where they are vectors."""
    match modality.layout:
        case Dense() | Vector():
            return None if learned is None else learned.vocab_size
        case Text():
            return None if text is None else text.vocab_size
        case Embeddings():
            return None
        case _:
            assert_never(modality.layout)
