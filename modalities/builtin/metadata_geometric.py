"""Geometric metadata: how complex the surfaces are and how much they hide each other."""

from modalities.decoding import sequence_decoding
from modalities.kinds.metadata import GEOMETRIC_FIELDS, Metadata
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

MODALITY = Metadata(
    name="metadata_geometric",
    title="Geometric metadata",
    layout=Text(max_tokens=2 * len(GEOMETRIC_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=GEOMETRIC_FIELDS,
    labeller="computed from Omnidata depth and normals",
    decoding=sequence_decoding(order=36, temperature="0.1"),
)
