"""SAM instances: for some query points, the instances that contain them, each a box and the codes of its mask."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from modalities.boxes import Corners
from modalities.detection_metrics import mask_measures, panoptic_quality
from modalities.masks import bounds, crop, filled, from_runs, paste, resampled, to_runs
from modalities.row_metrics import mask_row_measures
from modalities.sequences import Reader, RecordModality, medoid
from modalities.spec import Codes, Dense, Loss, Measure, Parsed, Scale, Text, View, ViTVQ, WordPiece
from modalities.text import coordinates, spell_codes

if TYPE_CHECKING:
    from modalities.scene import Scene

UNITS = 224
"""Side of the image in the units that points and boxes are spelled with, whatever its resolution."""
MASK_SIDE = 64
LEAST_AREA = 0.0005
"""Instances whose box covers less of the image than this are left out."""

Masks = Bool[np.ndarray, "_ _ _"]
"""One sample: (instances, size, size)."""
Hit = tuple[tuple[int, int, int, int], Sequence[int]]
"""xmin, ymin, xmax, ymax in units, and the mask's codes."""


@dataclass(frozen=True, kw_only=True)
class SamInstances(RecordModality):
    """Instances of anything, without classes. A value is an array of masks, bool (k, size, size), the largest first."""

    size: int = 224
    """Side of the masks, in pixels."""
    num_points: int = 7
    """Query points of one text."""

    def at(self, scale: Scale) -> "SamInstances":
        """The same modality at another scale."""
        return replace(super().at(scale), size=scale.size)

    def look(self, scene: "Scene") -> Masks:
        """The visible things and people of the scene, the largest first."""
        shown = [thing.instance for thing in scene.objects] + [person.instance for person in scene.people]
        return _largest_first(scene.instances[None] == np.array(shown, dtype=np.int32)[:, None, None])

    def to_json(self, value: Masks) -> Any:
        """COCO's uncompressed run lengths of each mask."""
        return {"size": list(value.shape[1:]), "instances": [to_runs(mask) for mask in value]}

    def from_json(self, data: Any) -> Masks:
        """The masks of such a record."""
        height, width = (int(side) for side in data["size"])
        masks = [from_runs(item) for item in data["instances"]]
        if any(mask.shape != (height, width) for mask in masks):
            raise ValueError(f"every mask should have the size {height} x {width}")
        return np.array(masks, dtype=bool).reshape(-1, height, width)

    def augment(self, value: Masks, view: View) -> Masks:
        """The parts of the masks that the view shows."""
        height, width = value.shape[1:]
        steps = (np.arange(self.size) + 0.5) / self.size
        rows = ((view.top + steps * view.height) * height).astype(int).clip(0, height - 1)
        across = 1 - steps if view.flip else steps
        columns = ((view.left + across * view.width) * width).astype(int).clip(0, width - 1)
        return _largest_first(value[:, rows[:, None], columns[None, :]])

    @property
    def normalisation(self) -> str:
        """What `prepare` does."""
        return f"each mask cut to its box and resized to {MASK_SIDE} x {MASK_SIDE} shares, 0 outside to 1 inside"

    def prepare(self, value: Masks) -> NDArray[np.float32]:
        """Each mask cut to its box and resized, 0 outside and 1 inside: (instances, 1, 64, 64)."""
        parts = [crop(mask, _box(box), MASK_SIDE) for mask, box in zip(value, bounds(value), strict=True)]
        return np.array(parts, dtype=np.float32).reshape(-1, 1, MASK_SIDE, MASK_SIDE)

    def serialise(self, value: Masks, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """Random query points, and at each the instances that contain it, in an order that ``rng`` draws."""
        if len(value) and (codes is None or len(codes) != len(value)):
            raise ValueError(f"{self.name} needs the codes of {len(value)} instances.")
        boxes = bounds(value)
        parts = []
        for y, x in rng.integers(0, UNITS, size=(self.num_points, 2)).tolist():
            row, column = (y * value.shape[1] // UNITS, x * value.shape[2] // UNITS)
            inside = rng.permutation(np.flatnonzero(value[:, row, column])).tolist()
            hits: list[Hit] = [(to_units(_box(boxes[index])), _row(codes, index)) for index in inside]
            parts.append(spell(y, x, hits))
        return " ".join(parts)

    def parse(self, text: str) -> Parsed:
        """The instances, each once, as filled boxes until `with_codes` knows better."""
        reader = Reader(text)
        found: dict[Any, None] = {}
        well_formed = not reader.at_end
        while not reader.at_end:
            if reader.word("point") is None or reader.coordinates(0, 1) is None or not self._hits(reader, found):
                well_formed = False
                reader.skip_to(lambda word: word in ("point", "polygon"))
                # An instance whose point is garbled is an instance all the same.
                self._hits(reader, found)
        masks = [filled(_from_units(box), self.size) for box, _ in found]
        codes = [row for _, row in found]
        return Parsed(
            value=np.array(masks, dtype=bool).reshape(-1, self.size, self.size),
            well_formed=well_formed,
            codes=np.array(codes, dtype=np.int64).reshape(-1, self._codes.layout.num_tokens),
        )

    def with_codes(self, value: Masks, rows: NDArray[np.float32]) -> Masks:
        """The masks whose logits ``rows`` (instances, 1, 64, 64) holds, each in the box that ``value`` fills."""
        parts = 1 / (1 + np.exp(-np.clip(np.nan_to_num(np.asarray(rows, dtype=np.float32)), -30, 30)))
        boxes = bounds(value)
        masks = [
            paste(part.reshape(part.shape[-2:]), _box(box), self.size) for part, box in zip(parts, boxes, strict=True)
        ]
        return np.array(masks, dtype=bool).reshape(-1, self.size, self.size)

    def draw(self, value: Masks) -> NDArray[np.uint8]:
        """The instances in different colours, the smallest on top."""
        picture = np.full((*value.shape[1:], 3), 30, dtype=np.uint8)
        for index in sorted(range(len(value)), key=lambda index: -int(value[index].sum())):
            picture[value[index]] = _color(index)
        return picture

    def metrics(self) -> dict[str, Measure]:
        """Average precision and panoptic quality, without classes."""
        return mask_measures()

    def row_measures(self) -> dict[str, Measure]:
        """Intersection over union of masks inside their boxes."""
        return mask_row_measures()

    def typical(self, values: Sequence[Masks]) -> Masks:
        """The set of masks that agrees best with the others, by panoptic quality."""
        empty = np.zeros((0, self.size, self.size), dtype=bool)
        guess: Masks = resampled(medoid(values, panoptic_quality, empty=empty), self.size, self.size)
        return guess

    @property
    def _codes(self) -> Codes:
        assert isinstance(self.tokenizer, WordPiece)
        assert self.tokenizer.codes is not None
        return self.tokenizer.codes

    def _hits(self, reader: Reader, found: dict[Any, None]) -> bool:
        """Read what was found at one point into ``found``; False where that is neither none nor whole instances."""
        if reader.word("none"):
            return True
        is_any = False
        while reader.word("polygon"):
            box = reader.coordinates(0, 1, 2, 3)
            codes = reader.codes(self._codes.layout.num_tokens, self._codes.tokenizer.vocab) if box else None
            if box is None or codes is None or not (box[0] < box[2] <= UNITS and box[1] < box[3] <= UNITS):
                return False
            found[(box, codes)] = None
            is_any = True
        return is_any


def spell(y: int, x: int, hits: Sequence[Hit]) -> str:
    """Return what was found at one query point as text."""
    parts = [f"polygon {coordinates(box)} {spell_codes(codes)}" for box, codes in hits]
    return " ".join([f"point {coordinates((y, x))}", *(parts or ["none"])])


def to_units(box: Corners) -> tuple[int, int, int, int]:
    """Return a box 0..1 in the units that spell it, 0..224, at least one wide and high."""
    left, top, right, bottom = (round(edge * UNITS) for edge in box)
    left, top = min(left, UNITS - 1), min(top, UNITS - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _from_units(box: Sequence[int]) -> Corners:
    left, top, right, bottom = (edge / UNITS for edge in box)
    return left, top, right, bottom


def _box(box: NDArray[np.float64]) -> Corners:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom


def _row(codes: NDArray[np.int64] | None, index: int) -> Sequence[int]:
    assert codes is not None
    row: list[int] = codes[index].tolist()
    return row


def _largest_first(masks: Masks) -> Masks:
    """The masks by their count of pixels, without those whose box is too small."""
    boxes = bounds(masks)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    kept = masks[areas >= LEAST_AREA]
    return np.asarray(kept[np.argsort(-kept.sum((1, 2)), kind="stable")])


def _color(index: int) -> tuple[int, int, int]:
    """A bright colour for the instance number ``index``; neighbours differ."""
    wave = [0.6 + 0.4 * np.cos(2 * np.pi * (index * 0.381966 + shift)) for shift in (0, 1 / 3, 2 / 3)]
    red, green, blue = (int(255 * level) for level in wave)
    return red, green, blue


MODALITY = SamInstances(
    name="sam_instances",
    title="SAM instances",
    layout=Text(max_tokens=290),
    tokenizer=WordPiece(
        codes=Codes(
            layout=Dense(channels=1, size=MASK_SIDE, patch=16),
            tokenizer=ViTVQ(name="instance_mask", vocab=1024, loss=Loss.bce, latent=1024),
        )
    ),
    labeller="SAM ViT-H, 32 x 32 query points",
)
