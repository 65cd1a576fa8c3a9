"""Texts and records as token ids: what is too long is cut between two of its elements, and what is unknown is said."""

import bisect
import logging
from typing import Any

import numpy as np
from jaxtyping import Int

from modalities.errors import DataError
from modalities.spec import SequenceModality
from modalities.vocabulary import EOS_ID
from networks.masking.spans import is_sentinel
from networks.tokenizers.codec import Codec

log = logging.getLogger(__name__)

MAX_UNKNOWN_WORDS = 5
"""Unknown words that a message quotes."""


def encode_text(codec: Codec, modality: SequenceModality, text: str, origin: str) -> list[int]:
    """The ids of a text as a person writes it. One that does not end in a gap ends with the end token.

    A text over the token limit is cut (see `encode_serialized`); unknown words are logged.

    Raises:
        DataError: A text with gaps has more tokens than the modality takes.
    """
    assert codec.text_tokenizer is not None
    ids = codec.text_tokenizer.encode(text)
    if not any(is_sentinel(token) for token in ids):
        return encode_serialized(codec, modality, text, origin)
    _report_unknown_words(codec, text, origin)
    ids = ids if is_sentinel(ids[-1]) else [*ids, EOS_ID]
    length = sum(not is_sentinel(token) for token in ids)
    if length > modality.num_tokens:
        raise DataError(
            f"{origin} has {length} tokens, but {modality.name} takes at most {modality.num_tokens}: a text with gaps "
            "is not cut, make it shorter."
        )
    return ids


def encode_record(codec: Codec, modality: SequenceModality, value: Any, origin: str) -> list[int]:
    """The ids of a value of a sequence modality, with the end token.

    Raises:
        DataError: Not even its first element fits.
    """
    (text,) = codec.serialize(modality.name, [value])
    assert text is not None
    return encode_serialized(codec, modality, text, origin)


def encode_serialized(codec: Codec, modality: SequenceModality, text: str, origin: str) -> list[int]:
    """The ids of a serialized value with the end token; what does not fit is cut between two elements, and logged.

    Raises:
        DataError: Not even its first element fits.
    """
    assert codec.text_tokenizer is not None
    tokenizer, longest = codec.text_tokenizer, modality.num_tokens
    _report_unknown_words(codec, text, origin)
    ids = tokenizer.encode(text)
    if len(ids) + 1 <= longest:
        return [*ids, EOS_ID]
    elements = modality.elements(text)

    def length(count: int) -> int:
        return len(tokenizer.encode(modality.join_elements(elements[:count]))) + 1

    kept = bisect.bisect_right(range(1, len(elements) + 1), longest, key=length)
    if not kept:
        raise DataError(
            f"{origin} has {len(ids) + 1} tokens, but {modality.name} takes at most {longest}, fewer than its first "
            "element has."
        )
    log.warning(
        "%s has %d tokens, but %s takes at most %d: the first %d of its %d elements are given to the model.",
        origin,
        len(ids) + 1,
        modality.name,
        longest,
        kept,
        len(elements),
    )
    return [*tokenizer.encode(modality.join_elements(elements[:kept])), EOS_ID]


def ids_array(ids: list[int]) -> Int[np.ndarray, " n"]:
    """Ids as int64."""
    return np.asarray(ids, dtype=np.int64)


def _report_unknown_words(codec: Codec, text: str, origin: str) -> None:
    assert codec.text_tokenizer is not None
    unknown = codec.text_tokenizer.unknown_words(text)
    if unknown:
        different = list(dict.fromkeys(unknown))
        quoted = ", ".join(repr(word) for word in different[:MAX_UNKNOWN_WORDS])
        log.warning(
            "%s has %d words that the model's vocabulary cannot spell and that it sees as [UNK]: %s%s.",
            origin,
            len(unknown),
            quoted,
            ", ..." if len(different) > MAX_UNKNOWN_WORDS else "",
        )
