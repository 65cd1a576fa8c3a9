"""Captions: what a person would say of the image."""

from modalities.decoding import sequence_decoding
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

MODALITY = FreeTextModality(
    name="caption",
    title="Caption",
    layout=Text(max_tokens=256),
    tokenizer=WordPiece(),
    labeller="alt text of CC12M and COYO-700M",
    decoding=sequence_decoding(order=30),
)
