"""Class maps by segmentation networks: Mask2Former, MaskFormer, OneFormer, SegFormer, UPerNet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.labelling.expert import Expert, model_class_names
from lightning_modules.labelling.pictures import PictureSettings, picture_tensor, read_picture_settings
from lightning_modules.labelling.weights import LoadedModel
from modalities.errors import ConfigError
from modalities.kinds.discrete import ClassMap
from modalities.spec import Modality

MAX_CLASSES = 255
"""Most classes of a map of bytes, of which 255 stays free for what is not labelled."""


@dataclass(frozen=True, kw_only=True)
class SegmentationExpert(Expert):
    """A class for each pixel; the classes are the model's."""

    kinds: ClassVar[tuple[type[Modality], ...]] = (ClassMap,)
    model_types: ClassVar[tuple[str, ...]] = ("segformer", "upernet")
    model_class: ClassVar[str] = "AutoModelForSemanticSegmentation"

    classes: tuple[str, ...]
    """Names of the classes, by index."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise ConfigError(
                f"{self.model} has {len(self.classes)} classes, expected 2 to {MAX_CLASSES} for a map of bytes."
            )

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "SegmentationExpert":
        """The labeller with the model's classes."""
        unnamed = cls(classes=("", ""), **fields)
        return replace(unnamed, classes=model_class_names(unnamed.model_config))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> UInt8[np.ndarray, "h w"]:
        """The likeliest class of each pixel."""
        (picture,) = inputs
        scores = self.class_scores(loaded, picture)
        resized = F.interpolate(scores.float(), size=picture.shape[:2], mode="bilinear", align_corners=False)
        classes: UInt8[np.ndarray, "h w"] = resized[0].argmax(0).byte().cpu().numpy()
        return classes

    def class_scores(self, loaded: LoadedModel, picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 v a b"]:
        """A score for each class at some resolution of the whole picture."""
        pixels = loaded.processor(images=picture, return_tensors="pt").to(loaded.device)
        scores: Tensor = loaded.model(**pixels).logits
        return scores


@dataclass(frozen=True, kw_only=True)
class QuerySegmentationExpert(SegmentationExpert):
    """A class for each pixel by a network that predicts masks and their classes (MaskFormer, Mask2Former)."""

    model_types: ClassVar[tuple[str, ...]] = ("maskformer", "mask2former")
    model_class: ClassVar[str] = "AutoModelForUniversalSegmentation"
    processor_class: ClassVar[str] = ""

    def class_scores(self, loaded: LoadedModel, picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 v a b"]:
        """Sums over the masks of class probability times mask probability."""
        pixels = picture_tensor(picture, self._pictures()).to(loaded.device)
        outputs = loaded.model(pixel_values=pixels)
        return query_scores(outputs.class_queries_logits, outputs.masks_queries_logits)

    def _pictures(self) -> PictureSettings:
        return read_picture_settings(self.folder)


@dataclass(frozen=True, kw_only=True)
class OneFormerExpert(QuerySegmentationExpert):
    """The same by OneFormer, whose task is given as text."""

    model_types: ClassVar[tuple[str, ...]] = ("oneformer",)
    processor_class: ClassVar[str] = "AutoTokenizer"

    def class_scores(self, loaded: LoadedModel, picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 v a b"]:
        """Sums over the masks of class probability times mask probability, for the task "semantic"."""
        pixels = picture_tensor(picture, self._pictures()).to(loaded.device)
        length = int(self.model_config.get("task_seq_len", 77))
        task = loaded.processor(
            "the task is semantic", padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        outputs = loaded.model(pixel_values=pixels, task_inputs=task["input_ids"].to(loaded.device))
        return query_scores(outputs.class_queries_logits, outputs.masks_queries_logits)


def query_scores(
    class_logits: Float[Tensor, "b n v1"], mask_logits: Float[Tensor, "b n h w"]
) -> Float[Tensor, "b v h w"]:
    """Scores of classes: over the queries, the sum of class probability (no object left out) times mask probability.

    Source: Cheng et al. 2021 (arXiv:2107.06278), section 3.4, semantic inference.
    """
    classes = class_logits.float().softmax(-1)[..., :-1]
    scores: Tensor = classes.transpose(1, 2) @ mask_logits.float().sigmoid().flatten(2)
    return scores.reshape(*scores.shape[:2], *mask_logits.shape[-2:])
