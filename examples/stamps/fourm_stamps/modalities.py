"""The modalities of stamps that fourm-lab does not bring, each published as an entry point."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torchmetrics import MetricCollection

from fourm_stamps.sound import AUDIO_SUFFIXES, FLOOR, log_mel, read_sound
from modalities import (
    ClassMap,
    Crop,
    Dense,
    FreeTextModality,
    ImageModality,
    ReconstructionLoss,
    Text,
    ViTVQ,
    WordPiece,
)
from modalities.metrics.base import RatioOfSums, collect
from modalities.metrics.text import ExactMatch, WordF1
from modalities.rendering.colors import sequential_colors
from modalities.storage.files import check_suffix, crop_and_resize, read_array, write_array
from modalities.values import ValueSpec

Decibels = Float32[np.ndarray, "h w"]

LICENSE = "GPL-2.0-or-later"
"""Licence of the stamps."""
WHOLE = Crop(left=0, top=0, width=1, height=1)


class DecibelError(RatioOfSums):
    """Mean absolute difference of levels."""

    higher_is_better = False
    title, unit = "MAE", "dB"

    def terms(self, prediction: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"]) -> tuple[Tensor, Tensor]:
        """Sum of differences, number of places."""
        return (prediction - target).double().abs().sum(), torch.tensor(target.numel(), device=target.device)


@dataclass(frozen=True, kw_only=True)
class Sound(ImageModality):
    """Levels of a sound in decibels by frequency (rows, the lowest last) and time (columns), float32 (side, side).

    Files are audio, of which the first two seconds are read, or .npy of levels.
    """

    def read_file(self, path: Path) -> Decibels:
        """The levels of an audio file, or those in a .npy file."""
        if check_suffix(path, (*AUDIO_SUFFIXES, ".npy")) == ".npy":
            return read_array(path, (None, None))
        return log_mel(*read_sound(path))

    def write_file(self, path: Path, value: Decibels) -> None:
        """Write a .npy file."""
        write_array(path, np.asarray(value, dtype=np.float32))

    def transform(self, value: Float32[np.ndarray, "a b"], crop: Crop) -> Decibels:
        """The whole sound, whatever part of the picture is shown."""
        return crop_and_resize(value, WHOLE, self.dense_layout.values_per_side, nearest=False).astype(np.float32)

    @property
    def value_spec(self) -> ValueSpec:
        """Finite decibels."""
        return replace(super().value_spec, unit="dB below full scale", files="audio, or .npy of floats")

    def render(self, value: Decibels) -> UInt8[np.ndarray, "h w 3"]:
        """From light for silence to dark for loud."""
        return sequential_colors(1 - value / FLOOR)

    def metrics(self) -> MetricCollection:
        """Mean absolute difference in decibels."""
        return collect(mae=DecibelError())

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return f"decibels cut to {FLOOR:g}..0, linearly to -1..1"

    def preprocess(self, value: Decibels) -> Float32[np.ndarray, "1 1 h w"]:
        """Levels from -1 for silence to 1."""
        levels: Float32[np.ndarray, "1 1 h w"] = 1 - 2 * np.clip(value, FLOOR, 0)[None, None] / np.float32(FLOOR)
        return levels

    def postprocess(self, row: Float32[np.ndarray, "1 h w"]) -> Decibels:
        """Decibels within the range."""
        found: Decibels = ((1 - np.clip(row[0], -1, 1)) / 2 * np.float32(FLOOR)).astype(np.float32)
        return found


@dataclass(frozen=True, kw_only=True)
class CategoryText(FreeTextModality):
    """The name of one of few categories, in words: it is right or wrong, and too short for BLEU."""

    def metrics(self) -> MetricCollection:
        """Share of names that are right, and F1 of their words."""
        return collect(exact=ExactMatch(), word_f1=WordF1())


def _sound(name: str, title: str, labeller: str) -> Sound:
    return Sound(
        name=name,
        title=title,
        labeller=labeller,
        license=LICENSE,
        layout=Dense(channels=1, size=224, patch=16),
        tokenizer=ViTVQ(name="sound", vocab_size=8192, loss=ReconstructionLoss.mse),
    )


def _caption(language: str, title: str) -> FreeTextModality:
    return FreeTextModality(
        name=f"stamp_caption_{language}",
        title=title,
        layout=Text(max_tokens=48),
        tokenizer=WordPiece(),
        class_names=(),
        labeller="Tux Paint's translators",
        license=LICENSE,
    )


SOUND = _sound("stamp_sound", "Sound", "recorded or made for the stamp")
SPEECH = _sound("stamp_speech", "Spoken name", "a French voice")
CAPTION_FR = _caption("fr", "Name in French")
CAPTION_RU = _caption("ru", "Name in Russian")
CAPTION_JA = _caption("ja", "Name in Japanese")
MASK = ClassMap(
    name="stamp_mask",
    title="Shape",
    classes=("background", "stamp"),
    layout=Dense(channels=2, size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="stamp_mask", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="transparency of the picture",
    license=LICENSE,
)
CATEGORY = CategoryText(
    name="stamp_category",
    title="Category",
    layout=Text(max_tokens=8),
    tokenizer=WordPiece(),
    class_names=(),
    labeller="folders of the stamps",
    license=LICENSE,
)
