"""Kinds of modalities that maps of the Earth need: measured maps, values by month, and facts about a place."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection

from modalities import (
    Dense,
    FeatureVector,
    ImageModality,
    MetadataField,
    ProductMLP,
    Provenance,
    ReconstructionLoss,
    Vector,
    ViTVQ,
)
from modalities.metrics.base import RatioOfSums, collect
from modalities.rendering.colors import render_vector, sequential_colors
from modalities.storage.files import read_array, write_array
from modalities.values import ValueSpec

Measured = Float32[np.ndarray, "h w"]


class MeanAbsoluteError(RatioOfSums):
    """Mean absolute difference, in the modality's unit."""

    higher_is_better = False
    title = "MAE"

    def __init__(self, unit: str, **kwargs: Any) -> None:
        """Take the unit."""
        super().__init__(**kwargs)
        self.unit = unit

    def terms(self, prediction: Float[Tensor, "b ..."], target: Float[Tensor, "b ..."]) -> tuple[Tensor, Tensor]:
        """Sum of differences, number of places."""
        return (prediction - target).double().abs().sum(), torch.tensor(target.numel(), device=target.device)


class RootMeanSquaredError(MeanAbsoluteError):
    """Root of the mean squared difference, in the modality's unit."""

    title = "RMSE"

    def terms(self, prediction: Float[Tensor, "b ..."], target: Float[Tensor, "b ..."]) -> tuple[Tensor, Tensor]:
        """Sum of squared differences, number of places."""
        return ((prediction - target).double() ** 2).sum(), torch.tensor(target.numel(), device=target.device)

    def compute(self) -> Float[Tensor, ""]:
        """The root of the mean."""
        return super().compute().sqrt()


def error_metrics(unit: str) -> MetricCollection:
    """Fresh metrics of measured values: root mean squared error, mean absolute error."""
    return collect(rmse=RootMeanSquaredError(unit), mae=MeanAbsoluteError(unit))


@dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that a tokenizer sees: -1 for the lowest value, 1 for the highest."""

    unit: str
    low: float
    high: float
    power: float = 1.0
    """Exponent of the share of the range; below 1 small values get more of it."""

    def encode(self, value: NDArray[Any]) -> NDArray[np.float32]:
        """Values cut to the range, as levels from -1 to 1."""
        share = (np.clip(value, self.low, self.high) - self.low) / (self.high - self.low)
        levels: NDArray[np.float32] = (2 * share**self.power - 1).astype(np.float32)
        return levels

    def decode(self, levels: NDArray[Any]) -> NDArray[np.float32]:
        """Values of levels, which are cut to -1..1."""
        share = ((np.clip(levels, -1, 1) + 1) / 2) ** (1 / self.power)
        values: NDArray[np.float32] = (self.low + share * (self.high - self.low)).astype(np.float32)
        return values

    def __str__(self) -> str:
        how = "linearly" if self.power == 1 else f"as share to the power of {self.power:g}"
        return f"{self.unit} cut to {self.low:g}..{self.high:g}, {how} to -1..1"


@dataclass(frozen=True, kw_only=True)
class MeasuredMap(ImageModality):
    """A measured quantity on pixels, float32 (side, side). Files are .npy."""

    range: Range

    def read_file(self, path: Path) -> Measured:
        """The numbers in a .npy file."""
        return read_array(path, (None, None))

    def write_file(self, path: Path, value: Measured) -> None:
        """Write a .npy file."""
        write_array(path, np.asarray(value, dtype=np.float32))

    @property
    def value_spec(self) -> ValueSpec:
        """Finite floats in the range's unit."""
        return replace(super().value_spec, unit=self.range.unit)

    def render(self, value: Measured) -> UInt8[np.ndarray, "h w 3"]:
        """From light for low to dark for high, on one scale for all pictures."""
        return sequential_colors((self.range.encode(value) + 1) / 2)

    def metrics(self) -> MetricCollection:
        """RMSE and mean absolute error."""
        return error_metrics(self.range.unit)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return str(self.range)

    def preprocess(self, value: Measured) -> Float32[np.ndarray, "1 1 h w"]:
        """Levels from -1 to 1."""
        return self.range.encode(value)[None, None]

    def postprocess(self, row: Float32[np.ndarray, "1 h w"]) -> Measured:
        """Numbers within the range."""
        return self.range.decode(row[0])


@dataclass(frozen=True, kw_only=True)
class MonthlyValues(FeatureVector):
    """A measured quantity of a place in each month from January on, float32 (12,). Files are .npy."""

    range: Range
    provenance: Provenance = Provenance.exact

    @property
    def value_spec(self) -> ValueSpec:
        """Twelve finite floats in the range's unit."""
        return replace(super().value_spec, unit=self.range.unit)

    def render(self, value: Float32[np.ndarray, " c"]) -> UInt8[np.ndarray, "h w 3"]:
        """Bars from January to December."""
        return render_vector(self.range.encode(value))

    def metrics(self) -> MetricCollection:
        """RMSE and mean absolute error."""
        return error_metrics(self.range.unit)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return str(self.range)

    def preprocess(self, value: Float32[np.ndarray, " c"]) -> Float32[np.ndarray, "1 c"]:
        """Levels from -1 to 1."""
        return self.range.encode(value)[None]

    def postprocess(self, row: Float32[np.ndarray, " c"]) -> Float32[np.ndarray, " c"]:
        """Numbers within the range."""
        return self.range.decode(row)


@dataclass(frozen=True, kw_only=True)
class OffsetField(MetadataField):
    """A fact whose numbers begin below 0. ``max_value`` is the width of their range."""

    min_value: float
    """Value of the lowest bin."""

    @property
    def lowest(self) -> float:
        """The lowest number that has a bin."""
        return self.min_value

    @property
    def highest(self) -> float:
        """The highest number that has a bin."""
        return self.min_value + super().highest

    def to_bin(self, value: float) -> int:
        """The number that spells ``value``; what lies outside the range counts as its end."""
        return super().to_bin(value - self.min_value)

    def from_bin(self, number: int) -> float:
        """The middle of the values that ``number`` spells."""
        return super().from_bin(number) + self.min_value


def measured_map(name: str, title: str, labeller: str, span: Range) -> MeasuredMap:
    """A measured map with the sizes of the built-in maps."""
    return MeasuredMap(
        name=name,
        title=title,
        labeller=labeller,
        layout=Dense(channels=1, size=224, patch=16),
        tokenizer=ViTVQ(name=name, vocab_size=8192, loss=ReconstructionLoss.mse),
        range=span,
    )


def monthly_values(name: str, title: str, labeller: str, span: Range) -> MonthlyValues:
    """Values by month, spelled as four product codes."""
    return MonthlyValues(
        name=name,
        title=title,
        labeller=labeller,
        layout=Vector(channels=12, num_tokens=4),
        tokenizer=ProductMLP(name=name, vocab_size=8192, loss=ReconstructionLoss.mse),
        range=span,
    )
