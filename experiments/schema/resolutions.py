"""Modalities at several resolutions in one model, each a stream of its own, as super-resolution needs."""

from dataclasses import dataclass, replace

from modalities.errors import ConfigError
from modalities.layouts import Dense, ScaleConfig
from modalities.presets import IMAGE
from modalities.registry import Registry
from modalities.spec import Modality
from modalities.tokenizer_specs import LearnedTokenizer
from modalities.variants import ModalityVariant, class_names_of


@dataclass(frozen=True, kw_only=True)
class ResolutionConfig:
    """One modality at one resolution. It has a tokenizer and a vocabulary of its own, and enters as tokens alone."""

    base: str = IMAGE
    """The installed modality."""
    size: int = 64
    """Side of the image, in pixels; the patch is the run's, so that a larger image has more tokens."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"resolutions: a size must be at least 1 pixel, got {self.size}.")

    def build_modality(self, name: str, registry: Registry, scale: ScaleConfig) -> Modality:
        """The modality under its own name.

        Raises:
            UnknownNameError: The base is not installed.
            ConfigError: The base is not a grid of pixels, or the patch does not divide its size.
        """
        base = registry[self.base]
        if not isinstance(base.layout, Dense) or not isinstance(base.tokenizer, LearnedTokenizer):
            raise ConfigError(f"resolutions.{name}: {self.base} is no grid and has no resolution.")
        if self.size % scale.patch:
            raise ConfigError(f"resolutions.{name}: scale.patch ({scale.patch}) does not divide {self.size} pixels.")
        scaled = base.scaled(replace(scale, size=self.size))
        assert isinstance(scaled.tokenizer, LearnedTokenizer)
        title = f"{base.title} {self.size} × {self.size}"
        return replace(
            scaled,
            name=name,
            base=self.base,
            title=title,
            tokenizer=replace(scaled.tokenizer, name=name),
            has_pixel_stream=False,
        )


def modality_variant(base: str, modality: Modality, *, has_own_classes: bool = False) -> ModalityVariant:
    """The record, in a model's folder, of a modality that is not the installed one ``base`` at the run's scale."""
    return ModalityVariant(
        base=base,
        layout=modality.layout,
        tokenizer=modality.tokenizer,
        classes=class_names_of(modality) if has_own_classes else (),
    )
