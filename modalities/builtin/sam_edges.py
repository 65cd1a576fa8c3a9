"""SAM edges: the borders between instances."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from modalities.kinds.dense import EdgeMap
from modalities.labellers.canny import instance_edges
from modalities.layouts import Dense
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class SamEdges(EdgeMap):
    """Borders of instances, which textures and shadows leave alone."""

    def from_scene(self, scene: "Scene") -> UInt8[np.ndarray, "h w"]:
        """The borders of the scene's instances."""
        return instance_edges(scene.instances)


MODALITY = SamEdges(
    name="sam_edges",
    title="SAM edges",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="edges", vocab_size=8192, loss=ReconstructionLoss.smooth_l1, has_diffusion_decoder=True),
    labeller="OpenCV's Canny on the instances of SAM ViT-H",
)
