"""All metadata as one sequence, as the published checkpoints have it; 4M-21 counts its three groups as three."""

from modalities.builtin.metadata_geometric import MODALITY as GEOMETRIC
from modalities.builtin.metadata_image import MODALITY as IMAGE
from modalities.builtin.metadata_semantic import MODALITY as SEMANTIC
from modalities.kinds.metadata import Metadata
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

FIELDS = tuple(sorted((*SEMANTIC.fields, *GEOMETRIC.fields, *IMAGE.fields), key=lambda field: field.id))


MODALITY = Metadata(
    name="metadata",
    title="Metadata, all groups",
    layout=Text(max_tokens=2 * len(FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=FIELDS,
    labeller="counted from the other labels",
)
