"""Settings of masking: numbers of tokens, and their shares of the streams. No random draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
from jaxtyping import Float, Int

from modalities.errors import ConfigError
from modalities.layouts import KeepScheme
from modalities.mixtures import MaskingPreset, Mixture, preset_mixtures
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream

KEEP_MODES = (KeepScheme.random, KeepScheme.all, KeepScheme.binary)
"""Order in which `Tables.keep` counts the kinds of keeping."""


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """Numbers and choice of visible and target tokens of a sample.

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
        return preset_mixtures(self.recipe, self.alpha)


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
