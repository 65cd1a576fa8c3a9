"""Image metadata: size and colour statistics of the pixels."""

from modalities.decoding import sequence_decoding
from modalities.kinds.metadata import IMAGE_FIELDS, Metadata
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

MODALITY = Metadata(
    name="metadata_image",
    title="Image metadata",
    layout=Text(max_tokens=2 * len(IMAGE_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=IMAGE_FIELDS,
    labeller="computed from the pixels",
    decoding=sequence_decoding(order=37, temperature="0.1"),
)
