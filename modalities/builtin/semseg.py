"""Semantic segmentation: a class for each pixel."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from modalities.kinds.dense import ClassMap
from modalities.layouts import Dense
from modalities.scenes.world import CLASSES
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Semseg(ClassMap):
    """The classes of the embedded data set; another list of names makes it another data set's."""

    classes: tuple[str, ...] = CLASSES

    def from_scene(self, scene: "Scene") -> UInt8[np.ndarray, "h w"]:
        """The scene's class map."""
        return scene.classes


MODALITY = Semseg(
    name="semseg",
    title="Semantic segmentation",
    layout=Dense(channels=len(CLASSES), size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="semseg", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="Mask2Former Swin-B on COCO panoptic, 133 classes",
)
