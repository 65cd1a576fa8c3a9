"""Depth by monocular networks: Depth Anything, DPT, GLPN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8
from torch.nn import functional as F

from lightning_modules.labelling.expert import Expert
from lightning_modules.labelling.weights import LoadedModel
from modalities.builtin.depth import Depth
from modalities.errors import ConfigError
from modalities.spec import Modality

METRIC, INVERSE = "metric", "inverse"


@dataclass(frozen=True, kw_only=True)
class DepthExpert(Expert):
    """Metres from a picture, by a network that predicts metres, or inverse depth without a unit."""

    kinds: ClassVar[tuple[type[Modality], ...]] = (Depth,)
    model_types: ClassVar[tuple[str, ...]] = ("depth_anything", "dpt", "glpn")
    model_class: ClassVar[str] = "AutoModelForDepthEstimation"

    meaning: str
    """What the network predicts: ``metric`` for metres, ``inverse`` for inverse depth up to scale and shift."""
    near: float
    """Metres of the nearest pixel, where inverse depth is mapped to metres."""
    far: float
    """Metres of the farthest."""

    def __post_init__(self) -> None:
        if self.meaning not in (METRIC, INVERSE):
            raise ConfigError(f"{self.output}.meaning must be {METRIC} or {INVERSE}, got {self.meaning!r}.")
        if not 0 < self.near < self.far:
            raise ConfigError(f"{self.output} needs 0 < near < far, got {self.near:g} and {self.far:g}.")

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "DepthExpert":
        """The labeller; the range is the modality's."""
        assert isinstance(modality, Depth)
        labeller = cls(meaning=METRIC, near=modality.near, far=modality.far, **fields)
        return cls(meaning=_meaning_of(labeller.model_config), near=modality.near, far=modality.far, **fields)

    @property
    def notes(self) -> tuple[str, ...]:
        """A warning where the metres are not measured."""
        if self.meaning == METRIC:
            return ()
        return (
            f"{self.model} predicts inverse depth without a unit: each picture's nearest pixel is put at "
            f"{self.near:g} m and its farthest at {self.far:g} m. These are no measured metres.",
        )

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> Float32[np.ndarray, "h w"]:
        """The depth of each pixel."""
        (picture,) = inputs
        predicted = predict_depth(loaded, picture)
        return predicted if self.meaning == METRIC else inverse_to_meters(predicted, self.near, self.far)


def predict_depth(loaded: LoadedModel, picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """What the network predicts, resampled to the picture's pixels."""
    pixels = loaded.processor(images=picture, return_tensors="pt").to(loaded.device)
    predicted = loaded.model(**pixels).predicted_depth.float()
    resized = F.interpolate(predicted[:, None], size=picture.shape[:2], mode="bilinear", align_corners=False)
    found: Float32[np.ndarray, "h w"] = resized[0, 0].cpu().numpy()
    return found


def inverse_to_meters(inverse: Float32[np.ndarray, "h w"], near: float, far: float) -> Float32[np.ndarray, "h w"]:
    """Metres whose inverse is linear in ``inverse``, from ``far`` at its least to ``near`` at its greatest."""
    low, high = float(inverse.min()), float(inverse.max())
    share = (inverse - low) / max(high - low, 1e-12)
    meters: Float32[np.ndarray, "h w"] = (1 / (1 / far + share * (1 / near - 1 / far))).astype(np.float32)
    return meters


def _meaning_of(config: dict[str, Any]) -> str:
    """Metric or inverse, by what is published about the architecture."""
    match config.get("model_type"):
        case "depth_anything":
            return METRIC if config.get("depth_estimation_type") == METRIC else INVERSE
        case "dpt":
            # DPT on DINOv2 was published for NYU and KITTI, in metres; MiDaS's DPT gives inverse depth.
            backbone = config.get("backbone_config") or {}
            return METRIC if str(backbone.get("model_type", "")).startswith("dino") else INVERSE
        case _:
            return METRIC
