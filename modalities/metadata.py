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

from modalities.sequence_metrics import bin_measures
from modalities.sequences import Reader, RecordModality
from modalities.spec import Measure, Parsed, View
from modalities.text import NUM_BINS, coordinate

NUM_SHARES = 50
"""Bins of a number with a fraction."""

Facts = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One fact: its id on axis 1, and how its value becomes a number on axis 0."""

    id: int
    name: str
    top: float | None = None
    """Value of the highest of `NUM_SHARES` bins, the lowest being 0; None for whole numbers."""
    step: int = 1
    """Width of a bin of whole numbers."""

    @property
    def num_bins(self) -> int:
        """Numbers that the fact can be spelled with."""
        return NUM_BINS if self.top is None else NUM_SHARES

    def to_bin(self, value: float) -> int:
        """The number that spells ``value``; what lies outside the range counts as its end."""
        number = int(value) // self.step if self.top is None else int(value / self.top * (NUM_SHARES - 1))
        return min(max(number, 0), self.num_bins - 1)

    def from_bin(self, number: int) -> float | int:
        """The middle of the values that ``number`` spells."""
        if self.top is None:
            return number * self.step + self.step // 2
        return min((number + 0.5) / (NUM_SHARES - 1), 1.0) * self.top


SEMANTIC = (
    Field(id=2, name="caption_n_chars"),
    Field(id=3, name="caption_n_words"),
    Field(id=4, name="caption_n_sentences"),
    Field(id=5, name="n_humans"),
    Field(id=6, name="n_sam_instances"),
    Field(id=7, name="n_coco_instances"),
    Field(id=8, name="coco_instance_diversity"),
    Field(id=14, name="walkability", top=1.0),
    Field(id=15, name="objectness", top=1.0),
    Field(id=16, name="semantic_diversity"),
)
"""What is in the image and what is said of it."""

GEOMETRIC = (
    Field(id=17, name="geometric_complexity", top=0.75),
    Field(id=18, name="occlusion_score", top=0.25),
)
"""How the surfaces lie."""

IMAGE = (
    Field(id=0, name="original_width", step=32),
    Field(id=1, name="original_height", step=32),
    Field(id=9, name="colorfulness", top=150.0),
    Field(id=10, name="brightness", top=255.0),
    Field(id=11, name="contrast", top=127.0),
    Field(id=12, name="saturation", top=255.0),
    Field(id=13, name="entropy", top=10.0),
)
"""What the pixels are like."""


@dataclass(frozen=True, kw_only=True)
class Metadata(RecordModality):
    """Some of the facts. A value is a dict from a fact's name to its number; facts may be missing.

    They describe the whole image: a crop keeps them, as published.
    """

    fields: tuple[Field, ...]

    def to_bins(self, value: Facts) -> dict[str, int]:
        """The numbers that spell the facts in ``value``; a fact that is not finite is left out."""
        known = [field for field in self.fields if field.name in value and math.isfinite(value[field.name])]
        return {field.name: field.to_bin(value[field.name]) for field in known}

    def to_json(self, value: Facts) -> dict[str, float]:
        """The facts."""
        return {name: number if isinstance(number, int) else float(number) for name, number in value.items()}

    def from_json(self, data: Any) -> dict[str, float]:
        """The facts in an object of numbers; facts of another group are left out."""
        names = {field.name for field in self.fields}
        facts = {name: number for name, number in dict(data).items() if name in names}
        for name, number in facts.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise TypeError(f"{name} should be a number, found {number!r}")
        return facts

    def augment(self, value: Facts, view: View) -> dict[str, float]:
        """The same facts."""
        return dict(value)

    def serialise(self, value: Facts, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """``v1=id v0=number`` for each fact, in an order that ``rng`` draws."""
        bins = self.to_bins(value)
        chunks = [spell(field.id, bins[field.name]) for field in self.fields if field.name in bins]
        return " ".join(chunks[index] for index in rng.permutation(len(chunks)))

    def parse(self, text: str) -> Parsed:
        """The facts; of one that is told twice the first counts."""
        by_id = {field.id: field for field in self.fields}
        facts: dict[str, float] = {}
        reader = Reader(text)
        well_formed = True
        while not reader.at_end:
            chunk = reader.coordinates(1, 0)
            if chunk is None:
                well_formed = False
                reader.skip_to(lambda word: word.startswith("v1="))
                continue
            field = by_id.get(chunk[0])
            if field is None or field.name in facts or chunk[1] >= field.num_bins:
                well_formed = False
            else:
                facts[field.name] = field.from_bin(chunk[1])
        return Parsed(value=facts, well_formed=well_formed and bool(facts))

    def draw(self, value: Facts) -> str:
        """One line for each fact."""
        return "\n".join(f"{name.replace('_', ' ')}: {number:.4g}" for name, number in value.items())

    def metrics(self) -> dict[str, Measure]:
        """Share of right bins, and mean distance in bins."""
        return bin_measures(self.to_bins, [field.name for field in self.fields])

    def typical(self, values: Sequence[Facts]) -> dict[str, float]:
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


def spell(kind: int, number: int) -> str:
    """Return one fact as text."""
    return f"{coordinate(1, kind)} {coordinate(0, number)}"
