"""Geometric metadata: how complex the surfaces are and how much they hide each other."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modalities.kinds.metadata import GEOMETRIC_FIELDS, Metadata
from modalities.labellers import metadata as labeller
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class GeometricMetadata(Metadata):
    """Facts about depth and normals."""

    def from_scene(self, scene: "Scene") -> dict[str, float]:
        """The facts by the definitions of 4M-21, from exact depth and normals."""
        return {
            "geometric_complexity": float(labeller.geometric_complexity(scene.normals)),
            "occlusion_score": float(labeller.occlusion_score(scene.depth)),
        }


MODALITY = GeometricMetadata(
    name="metadata_geometric",
    title="Geometric metadata",
    layout=Text(max_tokens=2 * len(GEOMETRIC_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=GEOMETRIC_FIELDS,
    labeller="computed from Omnidata depth and normals",
)
