"""Recognizes members that hold tokens in place of values, as sets published for 4M do."""

import io

import numpy as np

from modalities.errors import DataError
from modalities.spec import Modality
from modalities.tokenizer_specs import LearnedTokenizer


def refuse_tokens(content: bytes, modality: Modality, origin: str) -> None:
    """Refuse a member with ids (crops, n) or (n,) of a tokenizer where values are expected.

    Raises:
        DataError: It holds as many integers as the modality has tokens.
    """
    if not content.startswith(b"\x93NUMPY") or not isinstance(modality.tokenizer, LearnedTokenizer):
        return
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        # What is damaged is said by the modality, which reads it next.
        return
    if array.dtype.kind in "iu" and array.ndim in (1, 2) and array.shape[-1] == modality.num_tokens:
        raise DataError(
            f"{origin} holds token ids {array.shape}, expected values of {modality.name!r}: tokens that another "
            "tokenizer made do not enter a run. Give the values, and start from a model that has the tokenizer "
            "(training.start_from) to have them tokenized alike."
        )
