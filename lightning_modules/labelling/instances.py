"""Instance masks of everything by SAM, which is asked at the points of a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.labelling.expert import Expert
from lightning_modules.labelling.weights import LoadedModel
from modalities.builtin.sam_instances import SamInstances
from modalities.errors import ConfigError
from modalities.geometry.boxes import box_iou
from modalities.geometry.masks import Masks, largest_masks_first, mask_boxes
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class InstanceExpert(Expert):
    """Masks of instances without classes, the largest first.

    Source: Kirillov et al. 2023 (arXiv:2304.02643), appendix B, without crops of the picture and without filling of
    holes; boxes of the masks are suppressed as there.
    """

    kinds: ClassVar[tuple[type[Modality], ...]] = (SamInstances,)
    model_types: ClassVar[tuple[str, ...]] = ("sam",)
    model_class: ClassVar[str] = "SamModel"

    points_per_side: int = 32
    """Points of the grid along a side."""
    points_per_batch: int = 64
    """Points that the decoder takes at once."""
    min_iou: float = 0.88
    """Least quality that the network expects of a mask."""
    min_stability: float = 0.95
    """Least overlap of the masks at logits of -1 and 1."""
    max_overlap: float = 0.7
    """Largest intersection over union of the boxes of two masks that are both kept."""

    def __post_init__(self) -> None:
        if self.points_per_side < 1 or self.points_per_batch < 1:
            raise ConfigError(f"{self.output} needs one point or more per side and batch.")

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "InstanceExpert":
        """The labeller."""
        return cls(**fields)

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> Masks:
        """The masks at the picture's resolution."""
        (picture,) = inputs
        logits, scores = self._ask(loaded, picture)
        stability = mask_stability(logits)
        good = (scores >= self.min_iou) & (stability >= self.min_stability)
        masks = _to_picture(logits[good], picture.shape[:2], loaded.model.config.vision_config.image_size)
        kept = suppress_overlaps(masks, scores[good].cpu().numpy().astype(np.float64), self.max_overlap)
        return largest_masks_first(masks[kept])

    def _ask(
        self, loaded: LoadedModel, picture: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[Float[Tensor, "k a b"], Float[Tensor, " k"]]:
        """Logits of the three masks of each point, and the quality that the network expects of each."""
        pixels = loaded.processor(images=picture, return_tensors="pt")["pixel_values"].to(loaded.device)
        features = loaded.model.get_image_embeddings(pixels)
        scale = loaded.model.config.vision_config.image_size / max(picture.shape[:2])
        points = torch.from_numpy(grid_points(self.points_per_side, *picture.shape[:2]) * scale)
        logits, scores = [], []
        for chunk in points.to(loaded.device, torch.float32).split(self.points_per_batch):
            outputs = loaded.model(
                image_embeddings=features,
                input_points=chunk[None, :, None],
                input_labels=torch.ones(1, len(chunk), 1, dtype=torch.long, device=loaded.device),
                multimask_output=True,
            )
            logits.append(outputs.pred_masks[0].flatten(0, 1))
            scores.append(outputs.iou_scores[0].flatten())
        return torch.cat(logits).float(), torch.cat(scores).float()


def grid_points(per_side: int, height: int, width: int) -> Float64[np.ndarray, "n 2"]:
    """The centres (x, y) of per_side x per_side equal parts of a picture, in pixels, row by row."""
    steps = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(steps * width, steps * height)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def mask_stability(logits: Float[Tensor, "k a b"], offset: float = 1.0) -> Float[Tensor, " k"]:
    """Intersection over union of the masks at logits of ``offset`` and of -``offset``; 0 where both are empty."""
    inner = (logits > offset).flatten(1).sum(1)
    outer = (logits > -offset).flatten(1).sum(1)
    stability: Tensor = inner / outer.clamp(min=1)
    return stability


def suppress_overlaps(
    masks: Bool[np.ndarray, "k h w"], scores: Float64[np.ndarray, " k"], max_overlap: float
) -> list[int]:
    """Indices of masks, the best first, whose boxes overlap none that is better by more than ``max_overlap``."""
    boxes = mask_boxes(masks)
    overlaps = box_iou(boxes, boxes)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if masks[index].any() and all(overlaps[index, other] <= max_overlap for other in kept):
            kept.append(index)
    return kept


def _to_picture(logits: Float[Tensor, "k a b"], shape: tuple[int, int], input_side: int) -> Masks:
    """Masks at the picture's resolution, without the border that fills the network's square input."""
    if not len(logits):
        return np.zeros((0, *shape), dtype=bool)
    scale = input_side / max(shape)
    height, width = (round(side * scale) for side in shape)
    square = F.interpolate(logits[:, None], size=(input_side, input_side), mode="bilinear", align_corners=False)
    resized = F.interpolate(square[..., :height, :width], size=shape, mode="bilinear", align_corners=False)
    masks: Masks = (resized[:, 0] > 0).cpu().numpy()
    return masks
