"""Web text: a page's words around the image (C4 in the papers, where it stands alone)."""

from modalities.decoding import sequence_decoding
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

MODALITY = FreeTextModality(
    name="web_text",
    title="Web text",
    layout=Text(max_tokens=256),
    tokenizer=WordPiece(),
    labeller="C4",
    decoding=sequence_decoding(order=38),
)
