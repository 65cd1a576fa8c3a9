"""Canny edges: where the picture's brightness changes sharply."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from modalities.kinds.dense import EdgeMap
from modalities.labellers.canny import canny
from modalities.layouts import Dense
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class CannyEdges(EdgeMap):
    """Edges of the picture (Canny 1986)."""

    def from_scene(self, scene: "Scene") -> UInt8[np.ndarray, "h w"]:
        """Canny's edges of the scene's picture."""
        return canny(scene.rgb)


MODALITY = CannyEdges(
    name="canny_edges",
    title="Canny edges",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="edges", vocab_size=8192, loss=ReconstructionLoss.smooth_l1, has_diffusion_decoder=True),
    labeller="OpenCV's Canny on the photograph",
)
