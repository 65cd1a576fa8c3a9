"""Maps and masks that are shifted against their photograph, by how well borders of labels meet edges of the image.

The gradient of the photograph is standardized to mean 0 and variance 1; the score of a shift is its mean over the
labels' borders, moved by the shift. Borders that belong to the photograph score highest where they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int, UInt8

from experiments.doctor.checks.duplicates import image_modality
from experiments.doctor.findings import Finding, FindingLog, Severity, sample_finding
from experiments.doctor.overlays import borders
from experiments.doctor.samples import Sample
from modalities.layouts import Dense
from modalities.spec import Modality, Value

MIN_BORDER = 0.75
"""Pixels of border, as a share of the side, below which a map says nothing about its place."""
MAX_SHIFT = 1 / 6
"""Largest shift that is tried, as a share of the side."""
MIN_OVERLAP = 0.6
"""Share of the border that a shift has to leave inside the photograph."""
MIN_SHIFT = 0.03
"""Smallest shift that is reported, as a share of the side; borders of labels are rarely exact."""
MARGIN = 0.8
"""Difference to the unshifted score that a single sample's best shift needs."""
RELATED = 0.7
"""Score from which borders of labels are assumed to belong to edges of photographs."""
MAX_LEVEL = 40.0
"""Gradient, in levels of 255, from which on edges count alike."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """One map's scores."""

    here: float
    """Best score within one pixel of where it is."""
    best: float
    shift: tuple[int, int]
    """Pixels to the right and down at which the score is best."""
    side: int


@dataclass(kw_only=True)
class _Total:
    """The scores of all maps of one modality."""

    num_maps: int = 0
    num_related: int = 0
    """Maps whose borders meet edges of their photographs where they are."""
    side: int = 0
    outliers: FindingLog = field(default_factory=FindingLog)
    scores: Float64[np.ndarray, "s s"] | None = None
    """Sum of the scores over all maps, by shift down and to the right."""


class AlignmentCheck:
    """Single maps, or all maps of a modality, that would fit their photographs better elsewhere."""

    name = "alignment"

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        self.image = image_modality(modalities)
        self.modalities = {name: item for name, item in modalities.items() if name != self.image}
        self._totals = {name: _Total() for name in self.modalities}

    def observe(self, sample: Sample) -> None:
        """Score the borders of one sample."""
        photograph = sample.readings[self.image].value if self.image else None
        if photograph is None or photograph.ndim != 3:
            return
        edges = _edges(photograph)
        for name, modality in self.modalities.items():
            value = sample.readings[name].value
            lines = None if value is None else label_lines(modality, value)
            if lines is not None and lines.shape == edges.shape and lines.sum() >= MIN_BORDER * lines.shape[1]:
                self._add(name, shift_scores(edges, lines), lines.shape[1], sample)

    def findings(self) -> Iterator[Finding]:
        """Modalities all of whose maps are shifted alike, and single maps that are where those of others fit."""
        for name, total in self._totals.items():
            if total.scores is None:
                continue
            shift, best, here = _best_shift(total.scores / total.num_maps)
            side = total.side
            if _is_far(shift, side) and best >= RELATED and best - here >= MARGIN / 2 and total.num_maps > 1:
                message = (
                    f"{name}: the borders of all {total.num_maps:,} maps together meet edges of {self.image} best "
                    f"when they are moved {_in_words(shift)}, of {side}: look at the page that --page writes."
                )
                yield Finding(severity=Severity.warning, check="shifted", message=message, modality=name)
            elif 2 * total.num_related >= total.num_maps:
                yield from total.outliers

    def _add(self, name: str, scores: Float64[np.ndarray, "s s"], side: int, sample: Sample) -> None:
        total = self._totals[name]
        usable = np.where(np.isfinite(scores), scores, 0)
        total.scores = usable if total.scores is None else total.scores + usable
        shift, best, here = _best_shift(scores)
        total.num_maps, total.side = total.num_maps + 1, side
        total.num_related += here >= RELATED
        if not _is_outlier(_Place(here=here, best=best, shift=shift, side=side)):
            return
        message = (
            f"{sample.readings[name].origin}: the borders of {name} meet edges of {self.image} best when they are "
            f"moved {_in_words(shift)}, of {side}: look at the page that --page writes."
        )
        total.outliers.add(sample_finding(Severity.warning, "shifted", message, sample, name))


def label_lines(modality: Modality, value: Value) -> Bool[np.ndarray, "h w"] | None:
    """The borders of a class map or of masks, the lines of an edge map; None for other modalities."""
    if isinstance(modality.layout, Dense):
        if not modality.is_discrete or modality.layout.pixels_per_value != 1:
            return None
        return borders(value) if modality.layout.categorical else value > 0
    if isinstance(value, np.ndarray) and value.dtype == bool and value.ndim == 3 and len(value):
        lines: Bool[np.ndarray, "h w"] = np.any([borders(mask) for mask in value], axis=0)
        return lines
    return None


def shift_scores(edges: Float64[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"]) -> Float64[np.ndarray, "s s"]:
    """The mean of ``edges`` over ``lines`` moved by every shift down and to the right, up to `MAX_SHIFT`.

    Row and column of no shift are in the middle; shifts that leave less than `MIN_OVERLAP` of the lines inside are
    -inf. The sums are computed by Fourier transforms, with as many zeros beyond the image as the largest shift.
    """
    reach = max(1, int(min(edges.shape) * MAX_SHIFT))
    # Transforms of lengths with small prime factors are several times as quick.
    height, width = (-(-(side + reach) // 8) * 8 for side in edges.shape)
    moved = np.conj(np.fft.rfft2(lines, (height, width)))
    steps = np.arange(-reach, reach + 1)
    sums = np.fft.irfft2(np.fft.rfft2(edges, (height, width)) * moved, (height, width))[np.ix_(steps, steps)]
    counts = _counts_inside(lines, steps)
    is_inside = counts >= max(1.0, MIN_OVERLAP * float(lines.sum()))
    scores: Float64[np.ndarray, "s s"] = np.where(is_inside, sums / np.maximum(counts, 1), -np.inf)
    return scores


def _counts_inside(lines: Bool[np.ndarray, "h w"], steps: Int[np.ndarray, " s"]) -> Int[np.ndarray, "s s"]:
    """The pixels of ``lines`` that are still inside after each shift down and to the right, from sums over corners."""
    height, width = lines.shape
    corners = np.pad(lines.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (top, bottom), (left, right) = ((np.maximum(0, -steps), np.minimum(side, side - steps)) for side in (height, width))
    counts: Int[np.ndarray, "s s"] = (
        corners[np.ix_(bottom, right)]
        - corners[np.ix_(top, right)]
        - corners[np.ix_(bottom, left)]
        + corners[np.ix_(top, left)]
    )
    return counts


def _edges(photograph: UInt8[np.ndarray, "h w c"]) -> Float64[np.ndarray, "h w"]:
    """The standardized gradient of a photograph's brightness towards the right and below."""
    brightness = photograph.astype(np.float64).mean(-1)
    right = np.abs(np.diff(brightness, axis=1, append=brightness[:, -1:]))
    below = np.abs(np.diff(brightness, axis=0, append=brightness[-1:]))
    gradient = np.minimum(np.maximum(right, below), MAX_LEVEL)
    edges: Float64[np.ndarray, "h w"] = (gradient - gradient.mean()) / max(float(gradient.std()), 1e-6)
    return edges


def _best_shift(scores: Float64[np.ndarray, "s s"]) -> tuple[tuple[int, int], float, float]:
    """The best shift to the right and down, its score, and the best score within one pixel of no shift."""
    reach = scores.shape[0] // 2
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    here = float(scores[reach - 1 : reach + 2, reach - 1 : reach + 2].max())
    return (int(column) - reach, int(row) - reach), float(scores.max()), here


def _is_far(shift: tuple[int, int], side: int) -> bool:
    """True for a shift that is reported; one at the limit of the search is the slope of a peak beyond it."""
    return max(2.0, MIN_SHIFT * side) <= max(map(abs, shift)) < int(side * MAX_SHIFT)


def _is_outlier(place: _Place) -> bool:
    return _is_far(place.shift, place.side) and place.best - place.here >= MARGIN and place.best >= 1.0


def _in_words(shift: tuple[int, int]) -> str:
    right, down = shift
    parts = []
    if right:
        parts.append(f"{abs(right)} pixels to the {'right' if right > 0 else 'left'}")
    if down:
        parts.append(f"{abs(down)} {'' if parts else 'pixels '}{'down' if down > 0 else 'up'}")
    return " and ".join(parts) or "nowhere"
