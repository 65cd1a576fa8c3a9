"""Facts about an image as numbers: their published ids and bins, and what the three metadata modalities share.

Source: 4M-21 (arXiv:2406.09406), section 2.1 and appendix D.1, with the binning of its public code.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchmetrics import MetricCollection

from modalities.corrections import report_correction
from modalities.errors import DataError
from modalities.kinds.sequences import RecordModality, TokenReader
from modalities.metrics.text import binned_field_metrics
from modalities.spec import Crop
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import NUM_BINS, coordinate_token

NUM_FRACTION_BINS = 50
"""Bins of a number with a fraction."""

MetadataValues = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class MetadataField:
    """One fact: its id on axis 1, and how its value becomes a number on axis 0."""

    id: int
    name: str
    max_value: float | None = None
    """Value of the highest of `NUM_FRACTION_BINS` bins, the lowest being 0; None for whole numbers."""
    bin_width: int = 1
    """Width of a bin of whole numbers."""

    @property
    def num_bins(self) -> int:
        """Numbers that the fact can be spelled with."""
        return NUM_BINS if self.max_value is None else NUM_FRACTION_BINS

    @property
    def lowest(self) -> float:
        """The lowest number that has a bin."""
        return 0.0

    @property
    def highest(self) -> float:
        """The highest number that has a bin."""
        return self.num_bins * self.bin_width - 1 if self.max_value is None else self.max_value

    def to_bin(self, value: float) -> int:
        """The number that spells ``value``; what lies outside the range counts as its end."""
        number = (
            int(value) // self.bin_width
            if self.max_value is None
            else int(value / self.max_value * (NUM_FRACTION_BINS - 1))
        )
        return min(max(number, 0), self.num_bins - 1)

    def from_bin(self, number: int) -> float | int:
        """The middle of the values that ``number`` spells."""
        if self.max_value is None:
            return number * self.bin_width + self.bin_width // 2
        return min((number + 0.5) / (NUM_FRACTION_BINS - 1), 1.0) * self.max_value


SEMANTIC_FIELDS = (
    MetadataField(id=2, name="caption_n_chars"),
    MetadataField(id=3, name="caption_n_words"),
    MetadataField(id=4, name="caption_n_sentences"),
    MetadataField(id=5, name="n_humans"),
    MetadataField(id=6, name="n_sam_instances"),
    MetadataField(id=7, name="n_coco_instances"),
    MetadataField(id=8, name="coco_instance_diversity"),
    MetadataField(id=14, name="walkability", max_value=1.0),
    MetadataField(id=15, name="objectness", max_value=1.0),
    MetadataField(id=16, name="semantic_diversity"),
)
"""Contents of the image and length of its caption."""

GEOMETRIC_FIELDS = (
    MetadataField(id=17, name="geometric_complexity", max_value=0.75),
    MetadataField(id=18, name="occlusion_score", max_value=0.25),
)
"""Shape of the surfaces."""

IMAGE_FIELDS = (
    MetadataField(id=0, name="original_width", bin_width=32),
    MetadataField(id=1, name="original_height", bin_width=32),
    MetadataField(id=9, name="colorfulness", max_value=150.0),
    MetadataField(id=10, name="brightness", max_value=255.0),
    MetadataField(id=11, name="contrast", max_value=127.0),
    MetadataField(id=12, name="saturation", max_value=255.0),
    MetadataField(id=13, name="entropy", max_value=10.0),
)
"""Statistics of the pixels."""


@dataclass(frozen=True, kw_only=True)
class Metadata(RecordModality):
    """Some of the facts. A value is a dict from a fact's name to its number; facts may be missing.

    They describe the whole image: a crop keeps them, as published.
    """

    fields: tuple[MetadataField, ...]

    def to_bins(self, value: MetadataValues) -> dict[str, int]:
        """The numbers that spell the facts in ``value``; a fact that is not finite is left out."""
        present = [field for field in self.fields if field.name in value and math.isfinite(value[field.name])]
        return {field.name: field.to_bin(value[field.name]) for field in present}

    def to_json(self, value: MetadataValues) -> dict[str, float]:
        """The facts."""
        return {name: number if isinstance(number, int) else float(number) for name, number in value.items()}

    def from_json(self, data: Any) -> dict[str, float]:
        """The facts in an object of numbers; facts of another group are left out."""
        if not isinstance(data, Mapping):
            raise TypeError(f"expected an object of numbers, found a {type(data).__name__}")
        names = {field.name for field in self.fields}
        values = {name: number for name, number in data.items() if name in names}
        for name, number in values.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise TypeError(f"{name} should be a number, found {number!r}")
        return values

    @property
    def value_spec(self) -> ValueSpec:
        """Numbers by name."""
        return ValueSpec(
            type="dict of numbers",
            unit=f"some of {', '.join(field.name for field in self.fields)}",
            low=min(field.lowest for field in self.fields),
            missing="NaN",
            files=".json: an object of numbers",
        )

    def check(self, value: Any, origin: str) -> dict[str, float]:
        """Numbers from the lowest bin on; one above the highest bin is spelled as that, which is reported."""
        values = dict(self.from_json(value))
        for field in self.fields:
            number = values.get(field.name, math.nan)
            if number < field.lowest or math.isinf(number):
                raise DataError(
                    f"{origin} has {field.name} {number:g}, expected {field.lowest:g} to {field.highest:g}."
                )
            if number > field.highest:
                report_correction(
                    f"{origin} has {field.name} {number:g}, which is spelled as {field.highest:g}, the highest."
                )
        return values

    def coerce(self, value: Any) -> dict[str, float]:
        """Numbers as `check` takes them, of numpy too."""
        if isinstance(value, Mapping):
            value = {
                name: number.item() if isinstance(number, np.generic) else number for name, number in value.items()
            }
        return dict(super().coerce(value))

    @property
    def is_flip_invariant(self) -> bool:
        """True: sizes, counts and statistics do not tell left from right."""
        return True

    def transform(self, value: MetadataValues, crop: Crop) -> dict[str, float]:
        """The same facts."""
        return dict(value)

    def serialize(self, value: MetadataValues, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """``v1=id v0=number`` for each fact, in an order that ``rng`` draws."""
        bins = self.to_bins(value)
        chunks = [fact_tokens(field.id, bins[field.name]) for field in self.fields if field.name in bins]
        return " ".join(chunks[index] for index in rng.permutation(len(chunks)))

    def elements(self, text: str) -> list[str]:
        """One fact each: two numbers."""
        words = text.split()
        return [" ".join(words[start : start + 2]) for start in range(0, len(words), 2)]

    def parse(self, text: str) -> Parsed:
        """The facts; of one that is stated twice the first counts."""
        by_id = {field.id: field for field in self.fields}
        values: dict[str, float] = {}
        reader = TokenReader(text)
        well_formed = True
        while not reader.at_end:
            pair = reader.read_coordinates(1, 0)
            if pair is None:
                well_formed = False
                reader.skip_to(lambda word: word.startswith("v1="))
                continue
            field = by_id.get(pair[0])
            if field is None or field.name in values or pair[1] >= field.num_bins:
                well_formed = False
            else:
                values[field.name] = field.from_bin(pair[1])
        return Parsed(value=values, well_formed=well_formed and bool(values))

    def render(self, value: MetadataValues) -> str:
        """One line for each fact."""
        return "\n".join(f"{name.replace('_', ' ')}: {number:.4g}" for name, number in value.items())

    def metrics(self) -> MetricCollection:
        """Share of right bins, and mean distance in bins."""
        return binned_field_metrics(self.to_bins, [field.name for field in self.fields])

    def constant_baseline(self, values: Sequence[MetadataValues]) -> dict[str, float]:
        """For each fact its commonest bin where that holds a third of the values, else its median."""
        guess: dict[str, float] = {}
        for field in self.fields:
            numbers = [bins[field.name] for bins in map(self.to_bins, values) if field.name in bins]
            if not numbers:
                continue
            number, count = Counter(sorted(numbers)).most_common(1)[0]
            if 3 * count < len(numbers):
                number = sorted(numbers)[len(numbers) // 2]
            guess[field.name] = field.from_bin(number)
        return guess


def fact_tokens(kind: int, number: int) -> str:
    """One fact as text."""
    return f"{coordinate_token(1, kind)} {coordinate_token(0, number)}"
