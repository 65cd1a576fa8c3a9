"""Keypoints of people by ViTPose, inside the boxes of a detector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from lightning_modules.labelling.expert import Expert
from lightning_modules.labelling.weights import LoadedModel
from modalities.errors import ConfigError
from modalities.kinds.keypoints import Keypoints
from modalities.presets import BOXES, IMAGE
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class PoseExpert(Expert):
    """The points of each person whose box is given."""

    kinds: ClassVar[tuple[type[Modality], ...]] = (Keypoints,)
    reads: ClassVar[tuple[str, ...]] = (IMAGE, BOXES)
    model_types: ClassVar[tuple[str, ...]] = ("vitpose",)
    model_class: ClassVar[str] = "VitPoseForPoseEstimation"

    person: str = "person"
    """Class of the boxes that are looked into."""

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "PoseExpert":
        """The labeller.

        Raises:
            ConfigError: The model has another number of points than the modality.
        """
        assert isinstance(modality, Keypoints)
        labeller = cls(**fields)
        found = len(labeller.model_config.get("id2label", ())) or len(modality.names)
        if found != len(modality.names):
            raise ConfigError(f"{labeller.model} has {found} points, {modality.name} has {len(modality.names)}.")
        return labeller

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> Float32[np.ndarray, "people k 3"] | None:
        """Points as shares of the picture, with their scores; None where there is no person."""
        picture, boxes = inputs
        height, width = picture.shape[:2]
        people = [box.box for box in boxes if box.class_name == self.person]
        if not people:
            return None
        corners = np.array(people) * [width, height, width, height]
        sizes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        pixels = loaded.processor(images=picture, boxes=[sizes], return_tensors="pt").to(loaded.device)
        outputs = loaded.model(**pixels)
        (found,) = loaded.processor.post_process_pose_estimation(outputs, boxes=[sizes])
        points = np.stack([np.asarray(person["keypoints"], dtype=np.float32) for person in found])
        scores = np.stack([np.asarray(person["scores"], dtype=np.float32).reshape(-1) for person in found])
        shares = points / np.array([width, height], dtype=np.float32)
        return np.concatenate([shares, scores[..., None]], axis=-1).astype(np.float32)
