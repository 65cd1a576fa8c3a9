"""Names and constants of published configs, once for reading and writing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from networks.tokenizers.config import NoiseSchedule, PredictionType

K = TypeVar("K")
V = TypeVar("V")

SINCOS_TOLERANCE = 3e-5
"""Sines and cosines that the published code computed in fp32 differ from exact ones by up to 2e-5."""

PREDICTION_NAMES = {PredictionType.sample: "sample", PredictionType.v: "v_prediction", PredictionType.noise: "epsilon"}
"""Published name of each prediction type of a denoiser."""

SCHEDULE_NAMES = {NoiseSchedule.linear: "linear", NoiseSchedule.cosine: "squaredcos_cap_v2"}
"""Published name of each noise schedule."""


@dataclass(frozen=True, kw_only=True)
class ViTPreset:
    """Size of a published transformer of tokenizers."""

    width: int
    heads: int


VIT_PRESETS = {
    "vit_s": ViTPreset(width=512, heads=8),
    "vit_b": ViTPreset(width=768, heads=12),
    "vit_l": ViTPreset(width=1024, heads=16),
}
"""Published transformers of tokenizers, by name."""

VIT_CUSTOM, VIT_CUSTOM_HEAD_WIDTH = "vit_xt", 16
"""Name of transformers of any other width, and the width of one of their heads."""


def inverse(names: Mapping[K, V]) -> dict[V, K]:
    """The keys of ``names`` by their values."""
    return {value: key for key, value in names.items()}


def vit_preset_of(width: int) -> str:
    """Published name of the transformer of a width."""
    return next((name for name, preset in VIT_PRESETS.items() if preset.width == width), VIT_CUSTOM)
