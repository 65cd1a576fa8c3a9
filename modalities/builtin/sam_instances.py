"""SAM instances: for some query points, the instances that contain them, each a box and the codes of its mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchmetrics import MetricCollection

from modalities.decoding import sequence_decoding
from modalities.errors import DataError
from modalities.geometry.boxes import Corners
from modalities.geometry.masks import (
    Masks,
    crop_mask,
    filled_box_mask,
    largest_masks_first,
    mask_boxes,
    mask_to_rle,
    paste_mask,
    resize_masks,
    rle_to_mask,
)
from modalities.kinds.arrays import as_array
from modalities.kinds.sequences import RecordModality, TokenReader, medoid, require_list
from modalities.layouts import Dense, ScaleConfig, Text
from modalities.metrics.detection import instance_mask_metrics, panoptic_quality
from modalities.metrics.reconstruction import mask_reconstruction_metrics
from modalities.spec import Crop
from modalities.storage.files import is_array_file, load_array
from modalities.tokenizer_specs import EmbeddedCodes, ReconstructionLoss, ViTVQ, WordPiece
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import code_tokens, coordinate_tokens

COORDINATE_UNITS = 224
"""Side of the image in the units that points and boxes are spelled with, whatever its resolution."""
MASK_SIDE = 64

InstanceTokens = tuple[tuple[int, int, int, int], Sequence[int]]
"""xmin, ymin, xmax, ymax in units, and the mask's codes."""


@dataclass(frozen=True, kw_only=True)
class SamInstances(RecordModality):
    """Instances of anything, without classes. A value is an array of masks, bool (k, size, size), the largest first."""

    size: int = 224
    """Side of the masks, in pixels."""
    num_points: int = 7
    """Query points of one text."""

    def scaled(self, scale: ScaleConfig) -> "SamInstances":
        """The same modality at another scale."""
        return replace(super().scaled(scale), size=scale.size)

    def to_json(self, value: Masks) -> Any:
        """COCO's uncompressed run lengths of each mask."""
        return {"size": list(value.shape[1:]), "instances": [mask_to_rle(mask) for mask in value]}

    def from_json(self, data: Any) -> Masks:
        """The masks of such a record; an empty list stands for none."""
        if isinstance(data, list) and not data:
            return np.zeros((0, self.size, self.size), dtype=bool)
        if not isinstance(data, Mapping):
            raise TypeError(f"expected an object with size and instances, found a {type(data).__name__}")
        height, width = (int(side) for side in data["size"])
        masks = [rle_to_mask(item) for item in require_list(data["instances"])]
        if any(mask.shape != (height, width) for mask in masks):
            raise ValueError(f"every mask should have the size {height} x {width}")
        return np.array(masks, dtype=bool).reshape(-1, height, width)

    def read_file(self, path: Path) -> Masks:
        """The masks in a JSON file, or in a .npy file."""
        if is_array_file(path):
            return self.check(load_array(path), str(path))
        masks: Masks = super().read_file(path)
        return masks

    @property
    def value_spec(self) -> ValueSpec:
        """Masks."""
        return ValueSpec(
            type="bool",
            shape="(instances, h, w)",
            unit="masks of flags, or of 0 and 1",
            low=0,
            high=1,
            files=".json: size, and instances as COCO's uncompressed run lengths; .npy",
        )

    def check(self, value: Any, origin: str) -> Masks:
        """Masks (instances, h, w) as flags, or as 0 and 1."""
        expected = str(self.value_spec)
        array = as_array(origin, value, expected)
        if array.ndim != 3 or 0 in array.shape[1:]:
            raise DataError(f"{origin} has shape {array.shape}, expected {expected}.")
        if array.size and not np.isin(array, (0, 1)).all():
            raise DataError(f"{origin} has numbers from {array.min():g} to {array.max():g}, expected {expected}.")
        return array.astype(bool)

    def coerce(self, value: Any) -> Masks:
        """Masks as `check` takes them."""
        return self.check(value, self.name)

    def image_size(self, value: Masks) -> tuple[int, int]:
        """Height and width of the masks."""
        return value.shape[1], value.shape[2]

    def transform(self, value: Masks, crop: Crop) -> Masks:
        """The parts of the masks inside the crop."""
        height, width = value.shape[1:]
        steps = (np.arange(self.size) + 0.5) / self.size
        rows = ((crop.top + steps * crop.height) * height).astype(int).clip(0, height - 1)
        across = 1 - steps if crop.flip else steps
        columns = ((crop.left + across * crop.width) * width).astype(int).clip(0, width - 1)
        return largest_masks_first(value[:, rows[:, None], columns[None, :]])

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return f"each mask cut to its box and resized to {MASK_SIDE} x {MASK_SIDE} shares, 0 outside to 1 inside"

    def preprocess(self, value: Masks) -> NDArray[np.float32]:
        """Each mask cut to its box and resized, 0 outside and 1 inside: (instances, 1, 64, 64)."""
        parts = [
            crop_mask(mask, _as_corners(box), MASK_SIDE) for mask, box in zip(value, mask_boxes(value), strict=True)
        ]
        return np.array(parts, dtype=np.float32).reshape(-1, 1, MASK_SIDE, MASK_SIDE)

    def serialize(self, value: Masks, rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """Random query points, and at each the instances that contain it, in an order that ``rng`` draws."""
        if len(value) and (codes is None or len(codes) != len(value)):
            raise ValueError(f"{self.name} needs the codes of {len(value)} instances.")
        boxes = mask_boxes(value)
        parts = []
        for y, x in rng.integers(0, COORDINATE_UNITS, size=(self.num_points, 2)).tolist():
            row, column = (y * value.shape[1] // COORDINATE_UNITS, x * value.shape[2] // COORDINATE_UNITS)
            inside = rng.permutation(np.flatnonzero(value[:, row, column])).tolist()
            instances: list[InstanceTokens] = [
                (box_to_units(_as_corners(boxes[index])), _code_row(codes, index)) for index in inside
            ]
            parts.append(query_point_tokens(y, x, instances))
        return " ".join(parts)

    def elements(self, text: str) -> list[str]:
        """A point with the first instance that contains it, or with none; each further instance."""
        groups: list[list[str]] = []
        for word in text.split():
            is_first_of_point = bool(groups) and groups[-1][0] == "point" and len(groups[-1]) == 3
            if not groups or word == "point" or (word == "polygon" and not is_first_of_point):
                groups.append([])
            groups[-1].append(word)
        return [" ".join(group) for group in groups]

    def parse(self, text: str) -> Parsed:
        """The instances, each once, as filled boxes until `with_decoded_parts` knows better."""
        reader = TokenReader(text)
        found: dict[Any, None] = {}
        well_formed = not reader.at_end
        while not reader.at_end:
            if (
                reader.read_word("point") is None
                or reader.read_coordinates(0, 1) is None
                or not self._read_instances(reader, found)
            ):
                well_formed = False
                reader.skip_to(lambda word: word in ("point", "polygon"))
                # An instance whose point is garbled is an instance all the same.
                self._read_instances(reader, found)
        masks = [filled_box_mask(_units_to_box(box), self.size) for box, _ in found]
        codes = [row for _, row in found]
        return Parsed(
            value=np.array(masks, dtype=bool).reshape(-1, self.size, self.size),
            well_formed=well_formed,
            codes=np.array(codes, dtype=np.int64).reshape(-1, self._embedded_codes.layout.num_tokens),
        )

    def with_decoded_parts(self, value: Masks, rows: NDArray[np.float32]) -> Masks:
        """The masks whose logits ``rows`` (instances, 1, 64, 64) holds, each in the box that ``value`` fills."""
        parts = 1 / (1 + np.exp(-np.clip(np.nan_to_num(np.asarray(rows, dtype=np.float32)), -30, 30)))
        boxes = mask_boxes(value)
        masks = [
            paste_mask(part.reshape(part.shape[-2:]), _as_corners(box), self.size)
            for part, box in zip(parts, boxes, strict=True)
        ]
        return np.array(masks, dtype=bool).reshape(-1, self.size, self.size)

    def render(self, value: Masks) -> NDArray[np.uint8]:
        """The instances in different colours, the smallest on top."""
        picture = np.full((*value.shape[1:], 3), 30, dtype=np.uint8)
        for index in sorted(range(len(value)), key=lambda index: -int(value[index].sum())):
            picture[value[index]] = _instance_color(index)
        return picture

    def metrics(self) -> MetricCollection:
        """Average precision and panoptic quality, without classes."""
        return instance_mask_metrics()

    def reconstruction_metrics(self) -> MetricCollection:
        """Intersection over union of masks inside their boxes."""
        return mask_reconstruction_metrics()

    def constant_baseline(self, values: Sequence[Masks]) -> Masks:
        """The set of masks that agrees best with the others, by panoptic quality."""
        empty = np.zeros((0, self.size, self.size), dtype=bool)
        guess: Masks = resize_masks(medoid(values, panoptic_quality, empty=empty), self.size, self.size)
        return guess

    @property
    def _embedded_codes(self) -> EmbeddedCodes:
        assert isinstance(self.tokenizer, WordPiece)
        assert self.tokenizer.codes is not None
        return self.tokenizer.codes

    def _read_instances(self, reader: TokenReader, found: dict[Any, None]) -> bool:
        """Read what was found at one point into ``found``; False where that is neither none nor whole instances."""
        if reader.read_word("none"):
            return True
        found_any = False
        while reader.read_word("polygon"):
            box = reader.read_coordinates(0, 1, 2, 3)
            codes = (
                reader.read_codes(self._embedded_codes.layout.num_tokens, self._embedded_codes.tokenizer.vocab_size)
                if box
                else None
            )
            if (
                box is None
                or codes is None
                or not (box[0] < box[2] <= COORDINATE_UNITS and box[1] < box[3] <= COORDINATE_UNITS)
            ):
                return False
            found[(box, codes)] = None
            found_any = True
        return found_any


def query_point_tokens(y: int, x: int, instances: Sequence[InstanceTokens]) -> str:
    """The instances at one query point as text."""
    parts = [f"polygon {coordinate_tokens(box)} {code_tokens(codes)}" for box, codes in instances]
    return " ".join([f"point {coordinate_tokens((y, x))}", *(parts or ["none"])])


def box_to_units(box: Corners) -> tuple[int, int, int, int]:
    """A box 0..1 in units of 0..224, at least one wide and high."""
    left, top, right, bottom = (round(edge * COORDINATE_UNITS) for edge in box)
    left, top = min(left, COORDINATE_UNITS - 1), min(top, COORDINATE_UNITS - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _units_to_box(box: Sequence[int]) -> Corners:
    left, top, right, bottom = (edge / COORDINATE_UNITS for edge in box)
    return left, top, right, bottom


def _as_corners(box: NDArray[np.float64]) -> Corners:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom


def _code_row(codes: NDArray[np.int64] | None, index: int) -> Sequence[int]:
    assert codes is not None
    row: list[int] = codes[index].tolist()
    return row


def _instance_color(index: int) -> tuple[int, int, int]:
    """A bright colour for the instance number ``index``; neighbours differ."""
    wave = [0.6 + 0.4 * np.cos(2 * np.pi * (index * 0.381966 + shift)) for shift in (0, 1 / 3, 2 / 3)]
    red, green, blue = (int(255 * level) for level in wave)
    return red, green, blue


MODALITY = SamInstances(
    name="sam_instances",
    title="SAM instances",
    layout=Text(max_tokens=290),
    tokenizer=WordPiece(
        codes=EmbeddedCodes(
            layout=Dense(channels=1, size=MASK_SIDE, patch=16),
            tokenizer=ViTVQ(name="instance_mask", vocab_size=1024, loss=ReconstructionLoss.bce, latent=1024),
        )
    ),
    labeller="SAM ViT-H, 32 x 32 query points",
    decoding=sequence_decoding(order=33, temperature="0.01"),
    aliases=("instances",),
)
