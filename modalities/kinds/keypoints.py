"""Keypoints: named points of people or things in the image, such as joints of the body."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torchmetrics import MetricCollection

from modalities.errors import DataError
from modalities.geometry.boxes import MAX_OVERHANG
from modalities.kinds.sequences import RecordModality, TokenReader, medoid, split_before
from modalities.metrics.base import FRACTION, SampleRatioOfSums, collect
from modalities.spec import Crop
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import NUM_BINS, coordinate_token

Points = Float32[np.ndarray, "_ _ 3"]
"""(things, names, 3): x and y as shares of the image, and a score from 0 for not visible to 1."""

NEAR = 0.05
"""Distance, as a share of the image's side, within which a point is right."""
_RENDER_SIZE = 224
_BACKGROUND = (238, 238, 234)
_COLORS = ((214, 44, 40), (44, 84, 206), (52, 160, 62), (138, 60, 170), (240, 132, 30))


@dataclass(frozen=True, kw_only=True)
class Keypoints(RecordModality):
    """Points by name, of any number of people or things. A value is an array (things, names, 3), float32.

    The last axis has x and y as shares of the image, y down, and a score. A point with a score below `min_score`, or
    outside the image, is not visible: it is kept in files, not spelled, and left out by metrics. A thing is spelled
    ``v2=number v0=x v1=y ...``, the number of its first point being spelled on axis 3.
    """

    names: tuple[str, ...]
    """Names of the points, by index. Of a pair, one is called left_* and the other right_*."""
    edges: tuple[tuple[int, int], ...] = ()
    """Pairs of points that a picture joins by a line."""
    min_score: float = 0.5
    """Least score of a point that is visible."""

    @property
    def value_spec(self) -> ValueSpec:
        """Points in shares of the image."""
        return ValueSpec(
            type=f"array (things, {len(self.names)}, 3) of float32",
            unit="x and y as shares of the image, and a score from 0 for not visible to 1",
            files=".json",
        )

    def to_json(self, value: Points) -> Any:
        """A list of things, each a list of [x, y, score]."""
        return [[[float(number) for number in point] for point in thing] for thing in value]

    def from_json(self, data: Any) -> Points:
        """The points of such a list."""
        if not len(data):
            return np.zeros((0, len(self.names), 3), dtype=np.float32)
        points = np.array(data, dtype=np.float32).reshape(len(data), -1, 3)
        if points.shape[1] != len(self.names):
            raise ValueError(f"a thing has {len(self.names)} points, found {points.shape[1]}")
        if not np.isfinite(points).all():
            raise ValueError("a number is not finite; a point that is not visible has the score 0")
        return points

    def coerce(self, value: Any) -> Points:
        """Points as an array, or as lists of numbers."""
        return self.check(value, self.name)

    def check(self, value: Any, origin: str) -> Points:
        """Finite points of all names, those with a score of `min_score` in shares of the image."""
        try:
            points = self.from_json(np.asarray(value).tolist())
        except (TypeError, ValueError) as error:
            raise DataError(f"{origin} does not hold points: {error}, expected {self.value_spec}.") from error
        shown = points[points[..., 2] >= self.min_score][:, :2]
        if shown.size and (shown.min() < -MAX_OVERHANG or shown.max() > 1 + MAX_OVERHANG):
            raise DataError(
                f"{origin} has points from {shown.min():g} to {shown.max():g}, expected {self.value_spec}: divide "
                "pixels by the image's width and height."
            )
        return points

    def visible(self, value: Points) -> NDArray[np.bool_]:
        """True for the points (things, names) that are sure and inside the image."""
        return visible_points(value, self.min_score)

    def transform(self, value: Points, crop: Crop) -> Points:
        """The points in shares of the crop; things without a visible point are left out. Sides swap in a mirror."""
        moved = value.copy()
        moved[..., 0] = (value[..., 0] - crop.left) / crop.width
        moved[..., 1] = (value[..., 1] - crop.top) / crop.height
        if crop.flip:
            moved[..., 0] = 1 - moved[..., 0]
            moved = moved[:, self._mirrored]
        kept: Points = moved[self.visible(moved).any(-1)]
        return kept

    def serialize(self, value: Points, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The visible points of each thing, in the order of their names."""
        words = []
        for thing, visible in zip(value, self.visible(value), strict=True):
            for place, index in enumerate(np.flatnonzero(visible).tolist()):
                x, y = (round(float(share) * (NUM_BINS - 1)) for share in thing[index, :2])
                words += [coordinate_token(2 if place else 3, index), coordinate_token(0, x), coordinate_token(1, y)]
        return " ".join(words)

    def elements(self, text: str) -> list[str]:
        """One thing each."""
        return split_before(text, lambda word: word.startswith("v3="))

    def parse(self, text: str) -> Parsed:
        """The things; points that are not whole, or of an unknown number, are left out."""
        reader = TokenReader(text)
        things: list[Points] = []
        well_formed = True
        while not reader.at_end:
            is_first = (found := reader.read_coordinates(3, 0, 1)) is not None
            found = found or reader.read_coordinates(2, 0, 1)
            if found is None or found[0] >= len(self.names) or not (is_first or things):
                well_formed = False
                if found is None:
                    reader.skip_to(lambda word: word.startswith(("v3=", "v2=")))
                continue
            if is_first:
                things.append(np.zeros((len(self.names), 3), dtype=np.float32))
            things[-1][found[0]] = (found[1] / (NUM_BINS - 1), found[2] / (NUM_BINS - 1), 1.0)
        value = np.array(things, dtype=np.float32).reshape(-1, len(self.names), 3)
        return Parsed(value=value, well_formed=well_formed)

    def render(self, value: Points) -> NDArray[np.uint8]:
        """The points and their lines on a plain ground."""
        image = Image.new("RGB", (_RENDER_SIZE, _RENDER_SIZE), _BACKGROUND)
        canvas = ImageDraw.Draw(image)
        for number, (thing, visible) in enumerate(zip(value, self.visible(value), strict=True)):
            color = _COLORS[number % len(_COLORS)]
            places = [(float(x) * (_RENDER_SIZE - 1), float(y) * (_RENDER_SIZE - 1)) for x, y, _ in thing]
            for first, second in self.edges:
                if visible[first] and visible[second]:
                    canvas.line([places[first], places[second]], fill=color, width=2)
            for index in np.flatnonzero(visible).tolist():
                x, y = places[index]
                canvas.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)
        return np.array(image)

    def metrics(self) -> MetricCollection:
        """Share of points that are near enough."""
        return collect(pck=CorrectKeypoints(self.min_score))

    def constant_baseline(self, values: Sequence[Points]) -> Points:
        """The value that agrees best with the others."""
        empty = np.zeros((0, len(self.names), 3), dtype=np.float32)
        guess: Points = medoid(values, self._agreement, empty=empty)
        return guess

    @property
    def _mirrored(self) -> list[int]:
        """The index of each point's partner on the other side."""
        known = {name: index for index, name in enumerate(self.names)}
        return [known.get(_other_side(name), index) for index, name in enumerate(self.names)]

    def _agreement(self, guess: Points, truth: Points) -> float:
        right, total = match_keypoints(guess, truth, self.min_score)
        return right / total if total else 1.0


class CorrectKeypoints(SampleRatioOfSums):
    """Points that lie within `NEAR` of the true one, as a share of those that either side shows (PCK on the image)."""

    higher_is_better = True
    title = "PCK"
    unit = FRACTION
    value_if_empty = 1.0

    def __init__(self, min_score: float, **kwargs: Any) -> None:
        """Take the least score of a visible point."""
        super().__init__(**kwargs)
        self.min_score = min_score

    def terms(self, prediction: Points, target: Points) -> tuple[Tensor, Tensor]:
        """Right points, and all points."""
        right, total = match_keypoints(prediction, target, self.min_score)
        return torch.tensor(float(right)), torch.tensor(float(total))


def visible_points(value: Float32[np.ndarray, "*things k 3"], min_score: float) -> NDArray[np.bool_]:
    """True for the points (..., 3) that are sure and inside the image."""
    inside = ((value[..., :2] >= 0) & (value[..., :2] <= 1)).all(-1)
    visible: NDArray[np.bool_] = inside & (value[..., 2] >= min_score)
    return visible


def match_keypoints(prediction: Points, target: Points, min_score: float) -> tuple[int, int]:
    """Points that are right, and the greater of the numbers of points on both sides.

    Each true thing takes, in order, the predicted one that has most points near its own.
    """
    left: list[Float32[np.ndarray, "k 3"]] = list(prediction)
    right = 0
    for truth in target:
        counts: list[int] = [_count_near(guess, truth, min_score) for guess in left]
        if any(counts):
            best = int(np.argmax(counts))
            right += counts[best]
            left.pop(best)
    shown = [int(visible_points(value, min_score).sum()) for value in (prediction, target)]
    return right, max(shown)


def _count_near(guess: Float32[np.ndarray, "k 3"], truth: Float32[np.ndarray, "k 3"], min_score: float) -> int:
    both = visible_points(guess, min_score) & visible_points(truth, min_score)
    return int((both & (np.linalg.norm(guess[:, :2] - truth[:, :2], axis=-1) <= NEAR)).sum())


def _other_side(name: str) -> str:
    for one, other in (("left", "right"), ("right", "left")):
        if name.startswith(f"{one}_"):
            return f"{other}_{name.removeprefix(f'{one}_')}"
        if name.endswith(f"_{one}"):
            return f"{name.removesuffix(f'_{one}')}_{other}"
    return name
