"""Semantic metadata: what is in the image, how much of it, and how long its caption is."""

from modalities.decoding import sequence_decoding
from modalities.kinds.metadata import SEMANTIC_FIELDS, Metadata
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

MODALITY = Metadata(
    name="metadata_semantic",
    title="Semantic metadata",
    layout=Text(max_tokens=2 * len(SEMANTIC_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=SEMANTIC_FIELDS,
    labeller="counted from the other labels",
    decoding=sequence_decoding(order=35, temperature="0.1"),
)
