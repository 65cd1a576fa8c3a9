"""What a masking run asks for: how many tokens, and how they are shared out between the streams. No drawing here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

import numpy as np
from jaxtyping import Float, Int

from modalities.errors import ConfigError
from modalities.layouts import KeepScheme
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream

KEEP_MODES = (KeepScheme.random, KeepScheme.all, KeepScheme.binary)
"""Order in which `Tables.keep` counts the kinds of keeping."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """One way to share tokens out: the concentrations of two Dirichlet distributions over the streams.

    A low concentration lets one stream dominate a sample, a high one gives equal shares, 0 leaves a stream out.
    Overrides go by stream name; those of streams that a run does not have are ignored.
    """

    weight: float = 1.0
    """How often this mixture is drawn, relative to the others."""
    input_alpha: float = 0.5
    """Concentration of every stream's share of the input."""
    input_overrides: dict[str, float] = field(default_factory=dict)
    """Concentrations of single streams in place of `input_alpha`."""
    target_alpha: float = 0.5
    """Concentration of every stream's share of the targets; streams that are inputs only have none."""
    target_overrides: dict[str, float] = field(default_factory=dict)
    """Concentrations of single streams in place of `target_alpha`."""
    keep_overrides: dict[str, KeepScheme] = field(default_factory=dict)
    """How much of single sequences stays visible, in place of what their modality says."""

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


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How many tokens of a sample are seen and predicted, and which.

    Source: Mizrahi et al. 2023 (arXiv:2312.06647), section 3; Bachmann et al. 2024 (arXiv:2406.09406), appendix E.2.
    """

    num_inputs: int = 128
    """Most tokens that the encoder sees of one sample: the width of a batch."""
    num_targets: int = 128
    """Most tokens that the decoder predicts of one sample."""
    min_inputs: int | None = None
    """Least input budget; a sample's is uniform from here to `num_inputs`. None: always `num_inputs`."""
    min_targets: int | None = None
    """Least target budget; None: always `num_targets`."""
    recipe: MaskingPreset = MaskingPreset.rgb2all_and_all2all
    """Published mixtures, used where `mixtures` is empty."""
    alpha: float = 0.5
    """Concentration of the recipe's all-to-all part, where it has one."""
    mixtures: list[Mixture] = field(default_factory=list)
    """Mixtures of one's own, in place of the recipe's."""
    redistribute: bool = False
    """True: tokens that a stream is given beyond what it has go to the others. False: they are lost, as published."""

    def __post_init__(self) -> None:
        sides = (("inputs", self.num_inputs, self.min_inputs), ("targets", self.num_targets, self.min_targets))
        for side, most, least in sides:
            if most < 1:
                raise ConfigError(f"masking.num_{side} must be at least 1, got {most}.")
            if least is not None and not 0 <= least <= most:
                raise ConfigError(f"masking.min_{side} must be from 0 to masking.num_{side} ({most}), got {least}.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"masking.alpha must be positive, got {self.alpha}.")
        if self.mixtures and not sum(mixture.weight for mixture in self.mixtures) > 0:
            raise ConfigError("masking.mixtures must have a positive weight among them; all are 0.")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        if self.mixtures:
            reason = "masking.mixtures replaces the published mixtures; masking.mixtures=[] gives them back"
            return {"recipe": reason, "alpha": reason}
        if self.recipe is MaskingPreset.fourm_21:
            return {"alpha": "masking.recipe=fourm_21 has concentrations of its own"}
        return {}

    @property
    def components(self) -> tuple[Mixture, ...]:
        """The mixtures that samples are drawn from."""
        if self.mixtures:
            return tuple(self.mixtures)
        match self.recipe:
            case MaskingPreset.all2all:
                return (all2all(self.alpha),)
            case MaskingPreset.rgb2all_and_all2all:
                return rgb2all_and_all2all(self.alpha)
            case MaskingPreset.fourm_21:
                return fourm_21()


def rgb2all_and_all2all(alpha: float = 0.5) -> tuple[Mixture, ...]:
    """4M-7's main mixture."""
    return rgb2all(), all2all(alpha)


def fourm_21() -> tuple[Mixture, ...]:
    """4M-21's main mixture, on its labelled images."""
    symmetric = [all2all(alpha) for alpha in (0.01, 0.1, 1.0, 10.0)]
    return (*symmetric, rgb2all(), text2all("caption", weight=0.5), text2all("t5_caption", weight=0.5))


@dataclass(frozen=True, kw_only=True)
class MixtureTable:
    """A config's mixtures over a run's streams: a row for each mixture and a column for each stream."""

    weight: Float[np.ndarray, " m"]
    input_alpha: Float[np.ndarray, "m s"]
    target_alpha: Float[np.ndarray, "m s"]
    keep: Int[np.ndarray, "m s"]
    """Index into `KEEPS`."""


def mixture_table(streams: Sequence[Stream], mixtures: Sequence[Mixture]) -> MixtureTable:
    """The mixtures' concentrations for ``streams``. Those that are inputs only get no share of the targets.

    Raises:
        ConfigError: No mixture of positive weight gives these streams both an input and a target.
    """
    inputs, targets, keeps = [], [], []
    for mixture in mixtures:
        inputs.append([mixture.input_overrides.get(item.name, mixture.input_alpha) * item.is_input for item in streams])
        targets.append(
            [mixture.target_overrides.get(item.name, mixture.target_alpha) * item.is_target for item in streams]
        )
        keeps.append([KEEP_MODES.index(_keep(mixture, item)) for item in streams])
    useful = any(
        mixture.weight > 0 and any(given) and any(wanted)
        for mixture, given, wanted in zip(mixtures, inputs, targets, strict=True)
    )
    if not useful:
        names = ", ".join(item.name for item in streams)
        raise ConfigError(f"No masking mixture gives both an input and a target for the streams {names}.")
    return MixtureTable(
        weight=np.array([mixture.weight for mixture in mixtures], dtype=np.float64),
        input_alpha=np.array(inputs, dtype=np.float64),
        target_alpha=np.array(targets, dtype=np.float64),
        keep=np.array(keeps),
    )


def _keep(mixture: Mixture, stream: Stream) -> KeepScheme:
    match stream:
        case SequenceStream():
            return mixture.keep_overrides.get(stream.name, stream.keep)
        case EmbeddingStream():
            return mixture.keep_overrides.get(stream.name, KeepScheme.random)
        case GridStream() | PixelStream():
            return KeepScheme.random
        case _:
            assert_never(stream)
