"""Features of image encoders, as maps and as vectors: CLIP, SigLIP, DINOv2, DINOv3."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from lightning_modules.labelling.expert import Expert
from lightning_modules.labelling.pictures import PictureSettings, picture_tensor
from lightning_modules.labelling.weights import LoadedModel
from modalities.errors import ConfigError
from modalities.kinds.features import FeatureMap, FeatureVector
from modalities.spec import Modality
from modalities.storage.atomic import read_json_object

DEFAULT_SIZE = 224


class EncoderType(StrEnum):
    """Types of models, as their configurations state them."""

    clip = auto()
    siglip = auto()
    dinov2 = auto()
    dinov2_with_registers = auto()
    dinov3_vit = auto()


@dataclass(frozen=True, kw_only=True)
class FeatureExpert(Expert):
    """A vector for each patch of the whole picture, or one for the picture.

    The picture is neither cropped nor distorted: its shorter side gets `size` pixels, both sides are rounded to whole
    patches, and the encoder's position code is interpolated. A map thus covers the picture, and is cropped with it.
    """

    kinds: ClassVar[tuple[type[Modality], ...]] = (FeatureMap, FeatureVector)
    model_types: ClassVar[tuple[str, ...]] = tuple(EncoderType)
    processor_class: ClassVar[str] = ""

    is_map: bool
    """True for a vector of each patch."""
    size: int = DEFAULT_SIZE
    """Shorter side of the pictures, in pixels."""

    @property
    def model_class(self) -> str:  # type: ignore[override]
        """The class that loads the model, or its vision part."""
        types = {EncoderType.clip: "CLIPModel", EncoderType.siglip: "SiglipVisionModel"}
        return types.get(self.model_config["model_type"], "AutoModel")

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "FeatureExpert":
        """The labeller at the modality's size.

        Raises:
            ConfigError: The model's vectors are of another width than the modality's.
        """
        is_map = isinstance(modality, FeatureMap)
        size = modality.dense_layout.size if isinstance(modality, FeatureMap) else DEFAULT_SIZE
        labeller = cls(is_map=is_map, size=size, **fields)
        expected = modality.dense_layout.channels if isinstance(modality, FeatureMap) else None
        expected = modality.channels if isinstance(modality, FeatureVector) else expected
        found = feature_width(labeller.model_config)
        if found != expected:
            raise ConfigError(
                f"{labeller.model} gives vectors of {found} numbers, {modality.name} takes {expected}: choose a model "
                f"of that width, or define a modality of your own (docs/adding_a_modality.md)."
            )
        return labeller

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> Float32[np.ndarray, "..."]:
        """The vectors (h, w, c), or one vector (c,)."""
        (picture,) = inputs
        patch = int(_vision_config(self.model_config)["patch_size"])
        pixels = picture_tensor(picture, _encoder_pictures(self.folder, self.size, patch)).to(loaded.device)
        vectors, pooled = encode_pictures(loaded.model, pixels, str(self.model_config["model_type"]))
        if not self.is_map:
            return np.asarray(pooled[0].float().cpu().numpy())
        rows, columns = pixels.shape[-2] // patch, pixels.shape[-1] // patch
        return np.asarray(vectors[0].float().cpu().numpy().reshape(rows, columns, -1))


def encode_pictures(
    model: Any, pixels: Float[Tensor, "b 3 h w"], model_type: str
) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b c"]]:
    """The vector of each patch, row by row, and that of each picture.

    CLIP's patches pass the last layer norm and the projection that its class token passes, so that they lie in the
    space of texts; SigLIP's picture vector is that of its attention pooling.
    """
    if model_type == EncoderType.clip:
        outputs = model.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)
        patches = model.vision_model.post_layernorm(outputs.last_hidden_state[:, 1:])
        return model.visual_projection(patches), model.visual_projection(outputs.pooler_output)
    if model_type == EncoderType.siglip:
        outputs = model(pixel_values=pixels, interpolate_pos_encoding=True)
        return outputs.last_hidden_state, outputs.pooler_output
    # DINOv2 interpolates by itself, and DINOv3 rotates.
    states = model(pixel_values=pixels).last_hidden_state
    return states[:, 1 + int(getattr(model.config, "num_register_tokens", 0)) :], states[:, 0]


def feature_width(config: dict[str, Any]) -> int:
    """Length of the vectors that `encode_pictures` gives."""
    if config["model_type"] == EncoderType.clip:
        return int(config.get("projection_dim", 512))
    return int(_vision_config(config).get("hidden_size", 768))


def _vision_config(config: dict[str, Any]) -> dict[str, Any]:
    found = config.get("vision_config", config)
    return {"patch_size": 16 if config["model_type"] == EncoderType.siglip else 14, **found}


@functools.lru_cache(maxsize=4)
def _encoder_pictures(folder: Path, size: int, patch: int) -> PictureSettings:
    config = read_json_object(folder / "preprocessor_config.json")
    return PictureSettings(
        shortest=size,
        multiple=patch,
        mean=tuple(config.get("image_mean", PictureSettings.mean)),
        std=tuple(config.get("image_std", PictureSettings.std)),
        resample=int(config.get("resample", PictureSettings.resample)),
    )
