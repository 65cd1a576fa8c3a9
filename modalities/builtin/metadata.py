"""All metadata as one sequence, as the published checkpoints have it; 4M-21 counts its three groups as three."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modalities.builtin.metadata_geometric import MODALITY as GEOMETRIC
from modalities.builtin.metadata_image import MODALITY as IMAGE
from modalities.builtin.metadata_semantic import MODALITY as SEMANTIC
from modalities.kinds.metadata import Metadata
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene

FIELDS = tuple(sorted((*SEMANTIC.fields, *GEOMETRIC.fields, *IMAGE.fields), key=lambda field: field.id))


@dataclass(frozen=True, kw_only=True)
class AllMetadata(Metadata):
    """Facts about content, shape and picture together."""

    def from_scene(self, scene: "Scene") -> dict[str, float]:
        """The facts of the three groups."""
        return {**SEMANTIC.from_scene(scene), **GEOMETRIC.from_scene(scene), **IMAGE.from_scene(scene)}


MODALITY = AllMetadata(
    name="metadata",
    title="Metadata, all groups",
    layout=Text(max_tokens=2 * len(FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=FIELDS,
    labeller="counted from the other labels",
)
