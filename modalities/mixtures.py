"""Masking mixtures: how the tokens of a sample are shared out between streams, and the published ones. No drawing here.

Source: Mizrahi et al. 2023 (arXiv:2312.06647), section 3; Bachmann et al. 2024 (arXiv:2406.09406), appendix E.2.
"""

import math
from dataclasses import dataclass, field
from enum import Enum

from modalities.errors import ConfigError
from modalities.layouts import KeepScheme


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """One way to share tokens out: the concentrations of two Dirichlet distributions over the streams.

    A low concentration lets one stream dominate a sample, a high one gives equal shares, 0 leaves a stream out.
    Overrides go by stream name; those of streams that a run does not have are ignored.
    """

    weight: float = 1.0
    """Relative frequency of this mixture."""
    input_alpha: float = 0.5
    """Concentration of every stream's share of the input."""
    input_overrides: dict[str, float] = field(default_factory=dict)
    """Concentrations of single streams in place of `input_alpha`."""
    target_alpha: float = 0.5
    """Concentration of every stream's share of the targets; streams that are inputs only have none."""
    target_overrides: dict[str, float] = field(default_factory=dict)
    """Concentrations of single streams in place of `target_alpha`."""
    keep_overrides: dict[str, KeepScheme] = field(default_factory=dict)
    """Keep scheme of single sequences, in place of their modality's own."""

    def __post_init__(self) -> None:
        alphas = [self.weight, self.input_alpha, self.target_alpha]
        alphas += [*self.input_overrides.values(), *self.target_overrides.values()]
        for value in alphas:
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"A mixture's weight and concentrations must be finite and at least 0, got {value}.")


def all2all(alpha: float, *, weight: float = 1.0) -> Mixture:
    """Every stream into every stream, at one concentration on both sides."""
    return Mixture(weight=weight, input_alpha=alpha, target_alpha=alpha)


def rgb2all(alpha: float = 0.5, *, weight: float = 1.0) -> Mixture:
    """The image's pixels into every stream."""
    return Mixture(weight=weight, input_alpha=0.0, input_overrides={"rgb_pixels": 1000.0}, target_alpha=alpha)


def text2all(text: str, *, weight: float = 1.0) -> Mixture:
    """Mostly one whole text, ``caption`` or ``t5_caption``, into every stream but the caption, which it gives away."""
    other = {"caption": "t5_caption", "t5_caption": "caption"}[text]
    return Mixture(
        weight=weight,
        input_alpha=0.05,
        input_overrides={text: 5.0, other: 0.0},
        target_overrides={"caption": 0.0},
        keep_overrides={text: KeepScheme.all},
    )


class MaskingPreset(Enum):
    """The published mixtures."""

    all2all = "all2all"
    """One symmetric mixture at `MaskingConfig.alpha`: 4M-7's ablations."""
    rgb2all_and_all2all = "rgb2all_and_all2all"
    """Half pixels to everything, half everything to everything at `MaskingConfig.alpha`: 4M-7's main models."""
    fourm_21 = "fourm_21"
    """Seven mixtures: symmetric at four concentrations, pixels to everything, caption- and T5-biased."""


def rgb2all_and_all2all(alpha: float = 0.5) -> tuple[Mixture, ...]:
    """4M-7's main mixture."""
    return rgb2all(), all2all(alpha)


def fourm_21() -> tuple[Mixture, ...]:
    """4M-21's main mixture, on its labelled images."""
    symmetric = [all2all(alpha) for alpha in (0.01, 0.1, 1.0, 10.0)]
    return (*symmetric, rgb2all(), text2all("caption", weight=0.5), text2all("t5_caption", weight=0.5))


def preset_mixtures(preset: MaskingPreset, alpha: float) -> tuple[Mixture, ...]:
    """The mixtures of a preset; ``alpha`` is the concentration of its all-to-all part, where it has a free one."""
    match preset:
        case MaskingPreset.all2all:
            return (all2all(alpha),)
        case MaskingPreset.rgb2all_and_all2all:
            return rgb2all_and_all2all(alpha)
        case MaskingPreset.fourm_21:
            return fourm_21()
