"""Tokenizers: what turns a modality's values into discrete codes and back.

Import `build_tokenizer` from `networks.tokenizers.build`: the codebook library takes two seconds to load, and the text
tokenizer has no use for it.
"""

from networks.tokenizers.config import (
    CodebookKind,
    DecoderKind,
    DiffusionConfig,
    EncoderKind,
    PredictionType,
    TokenizerConfig,
)

__all__ = ["CodebookKind", "DecoderKind", "DiffusionConfig", "EncoderKind", "PredictionType", "TokenizerConfig"]
