"""Straight lines in the image, each by its two ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.kinds.sequences import RecordModality, TokenReader, medoid
from modalities.metrics.base import FRACTION, SampleRatioOfSums, collect
from modalities.spec import Crop
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import NUM_BINS, coordinate_tokens

NEAR = 0.05
"""Mean distance of the ends of two lines, as a share of the image's side, within which they are the same."""
_RENDER_SIZE = 224

Segments = NDArray[np.float32]
"""(lines, 4): x and y of both ends as shares of the image, the upper end first; the surest line first."""


@dataclass(frozen=True, kw_only=True)
class Lines(RecordModality):
    """Lines as ``v0=x v1=y v2=x v3=y``, in the order of the value."""

    max_lines: int = 60
    """Lines of a text; those after them are left out."""

    @property
    def value_spec(self) -> ValueSpec:
        """Ends in shares of the image."""
        return ValueSpec(
            type="float32", shape="(lines, 4)", unit="x and y of both ends as shares of the image", files=".json"
        )

    def to_json(self, value: Segments) -> Any:
        """A list of [x, y, x, y]."""
        return [[float(number) for number in line] for line in value]

    def from_json(self, data: Any) -> Segments:
        """The lines of such a list, the upper end of each first."""
        lines = np.array(data, dtype=np.float32).reshape(len(data), 4)
        if not np.isfinite(lines).all():
            raise ValueError("a number is not finite")
        return _upper_end_first(lines)

    def coerce(self, value: Any) -> Segments:
        """Lines as an array, or as lists of numbers."""
        return self.check(value, self.name)

    def check(self, value: Any, origin: str) -> Segments:
        """Finite lines, cut at the image's edges."""
        return crop_lines(self.from_json(np.asarray(value).tolist()), Crop(left=0, top=0, width=1, height=1))

    def transform(self, value: Segments, crop: Crop) -> Segments:
        """The parts of the lines inside the crop, in shares of it."""
        return crop_lines(value, crop)

    def serialize(self, value: Segments, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The first lines."""
        bins = np.rint(np.clip(value[: self.max_lines], 0, 1) * (NUM_BINS - 1)).astype(int)
        return " ".join(coordinate_tokens(tuple(row)) for row in bins.tolist())

    def parse(self, text: str) -> Parsed:
        """The lines that are whole."""
        reader = TokenReader(text)
        rows: list[tuple[int, ...]] = []
        well_formed = True
        while not reader.at_end:
            found = reader.read_coordinates(0, 1, 2, 3)
            if found is None:
                well_formed = False
                reader.skip_to(lambda word: word.startswith("v0="))
            else:
                rows.append(found)
        value = np.array(rows, dtype=np.float32).reshape(-1, 4) / np.float32(NUM_BINS - 1)
        return Parsed(value=_upper_end_first(value.astype(np.float32)), well_formed=well_formed)

    def render(self, value: Segments) -> NDArray[np.uint8]:
        """The lines on a plain ground."""
        image = Image.new("RGB", (_RENDER_SIZE, _RENDER_SIZE), (238, 238, 234))
        canvas = ImageDraw.Draw(image)
        for x0, y0, x1, y1 in (value * (_RENDER_SIZE - 1)).tolist():
            canvas.line((x0, y0, x1, y1), fill=(44, 84, 206), width=2)
        return np.array(image)

    def metrics(self) -> MetricCollection:
        """F1 of the lines."""
        return collect(f1=LineF1())

    def constant_baseline(self, values: Sequence[Segments]) -> Segments:
        """The set of lines that agrees best with the others."""
        guess: Segments = medoid(values, line_f1, empty=np.zeros((0, 4), np.float32))
        return guess


class LineF1(SampleRatioOfSums):
    """F1 of lines: twice those that match over those of both sides."""

    higher_is_better = True
    title = "line F1"
    unit = FRACTION
    value_if_empty = 1.0

    def terms(self, prediction: Segments, target: Segments) -> tuple[Tensor, Tensor]:
        """Twice the matches, and the lines of both sides."""
        return torch.tensor(2.0 * num_matches(prediction, target)), torch.tensor(float(len(prediction) + len(target)))


def line_f1(prediction: Segments, target: Segments) -> float:
    """F1 of one sample; 1 where neither side has a line."""
    total = len(prediction) + len(target)
    return 2 * num_matches(prediction, target) / total if total else 1.0


def num_matches(prediction: Segments, target: Segments) -> int:
    """Lines that match: each true line takes the nearest predicted one that is left and near enough."""
    left = list(range(len(prediction)))
    count = 0
    for line in target:
        distances = [_distance(prediction[index], line) for index in left]
        if distances and min(distances) <= NEAR:
            left.pop(int(np.argmin(distances)))
            count += 1
    return count


def crop_lines(lines: Segments, crop: Crop) -> Segments:
    """The parts of lines inside a crop, in shares of it; lines that do not touch it are left out.

    Source: Liang and Barsky 1984, parametric clipping.
    """
    moved = lines.astype(np.float64).copy()
    moved[:, 0::2] = (moved[:, 0::2] - crop.left) / crop.width
    moved[:, 1::2] = (moved[:, 1::2] - crop.top) / crop.height
    if crop.flip:
        moved[:, 0::2] = 1 - moved[:, 0::2]
    begin, end = np.zeros(len(moved)), np.ones(len(moved))
    for axis in (0, 1):
        start, step = moved[:, axis], moved[:, axis + 2] - moved[:, axis]
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = np.sort(np.stack([-start / step, (1 - start) / step]), axis=0)
        still = step == 0
        inside = (start >= 0) & (start <= 1)
        begin = np.maximum(begin, np.where(still, np.where(inside, -np.inf, np.inf), low))
        end = np.minimum(end, np.where(still, np.where(inside, np.inf, -np.inf), high))
    kept = begin < end
    first, steps = moved[kept, :2], moved[kept, 2:] - moved[kept, :2]
    cut = np.concatenate([first + begin[kept, None] * steps, first + end[kept, None] * steps], axis=1)
    return _upper_end_first(np.clip(cut, 0, 1).astype(np.float32))


def _distance(one: Segments, other: Segments) -> float:
    """The mean distance of the ends, whichever end comes first."""
    ways = (other, other[[2, 3, 0, 1]])
    return float(min((np.hypot(*(one - way)[:2]) + np.hypot(*(one - way)[2:])) / 2 for way in ways))


def _upper_end_first(lines: Segments) -> Segments:
    swapped = (lines[:, 1] > lines[:, 3]) | ((lines[:, 1] == lines[:, 3]) & (lines[:, 0] > lines[:, 2]))
    return np.where(swapped[:, None], lines[:, [2, 3, 0, 1]], lines).astype(np.float32)
