"""Boxes by detectors: DETR and its kin, RT-DETR, YOLOS."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from lightning_modules.labelling.expert import Expert, model_class_names
from lightning_modules.labelling.weights import LoadedModel
from modalities.builtin.bounding_boxes import BoundingBoxes
from modalities.geometry.boxes import Box, sort_by_upper_left
from modalities.spec import Modality

NO_CLASS = "N/A"
"""Name of the ids that COCO left out."""


@dataclass(frozen=True, kw_only=True)
class BoxExpert(Expert):
    """Boxes with the model's class names, from the upper left on."""

    kinds: ClassVar[tuple[type[Modality], ...]] = (BoundingBoxes,)
    model_types: ClassVar[tuple[str, ...]] = (
        "detr",
        "conditional_detr",
        "deformable_detr",
        "rt_detr",
        "rt_detr_v2",
        "yolos",
    )
    model_class: ClassVar[str] = "AutoModelForObjectDetection"

    classes: tuple[str, ...]
    """Names of the model's classes, by index."""
    threshold: float
    """Least score of a box."""

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "BoxExpert":
        """The labeller with the model's classes, and the least score that the modality spells."""
        assert isinstance(modality, BoundingBoxes)
        unnamed = cls(classes=(), threshold=modality.min_score, **fields)
        return replace(unnamed, classes=model_class_names(unnamed.model_config))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that a box may have."""
        return tuple(name for name in self.classes if name != NO_CLASS)

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> tuple[Box, ...]:
        """The boxes whose score reaches the threshold, cut at the picture's edges."""
        (picture,) = inputs
        pixels = loaded.processor(images=picture, return_tensors="pt").to(loaded.device)
        outputs = loaded.model(**pixels)
        (found,) = loaded.processor.post_process_object_detection(
            outputs, threshold=self.threshold, target_sizes=torch.ones(1, 2)
        )
        boxes = []
        for corners, score, index in zip(found["boxes"], found["scores"], found["labels"], strict=True):
            left, top, right, bottom = (min(max(float(edge), 0.0), 1.0) for edge in corners)
            name = self.classes[int(index)]
            if name != NO_CLASS and right > left and bottom > top:
                boxes.append(Box(box=(left, top, right, bottom), class_name=name, score=float(score)))
        return sort_by_upper_left(boxes)
