"""Bounding boxes with class names, spelled ``v0=xmin v1=ymin v2=xmax v3=ymax class`` from the upper left on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torchmetrics import MetricCollection

from modalities.corrections import report_correction
from modalities.decoding import sequence_decoding
from modalities.errors import DataError
from modalities.geometry.boxes import (
    Box,
    bins_to_box,
    box_to_bins,
    check_corners,
    color_for_name,
    crop_box,
    draw_box,
    is_valid_box,
    sort_by_upper_left,
)
from modalities.kinds.sequences import RecordModality, TokenReader, medoid, require_list, split_before
from modalities.labels import BOX_CLASSES
from modalities.layouts import Text
from modalities.metrics.detection import bounding_box_metrics, box_f1
from modalities.spec import Crop
from modalities.text_checks import check_one_line
from modalities.tokenizer_specs import WordPiece
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import coordinate_tokens

_RENDER_SIZE = 224
_BACKGROUND = (238, 238, 234)


@dataclass(frozen=True, kw_only=True)
class BoundingBoxes(RecordModality):
    """Things with a place and a class. A value is a tuple of `Box`."""

    min_score: float = 0.6
    """Boxes of which the detector is less sure are not spelled."""
    class_names: tuple[str, ...] = BOX_CLASSES
    """Names that a text may use; empty for any."""

    def to_json(self, value: Sequence[Box]) -> Any:
        """A list of objects with box, class_name and score."""
        return [box.to_json() for box in value]

    def from_json(self, data: Any) -> tuple[Box, ...]:
        """The boxes of such a list."""
        return tuple(Box.from_json(item) for item in require_list(data))

    @property
    def value_spec(self) -> ValueSpec:
        """Boxes in shares of the image."""
        return ValueSpec(
            type="tuple of Box",
            unit="xmin, ymin, xmax, ymax as shares of the image, a class name, a score from 0 to 1",
            low=0,
            high=1,
            files=".json: a list of objects with box, class_name and score",
        )

    def check(self, value: Any, origin: str) -> tuple[Box, ...]:
        """Boxes with an area inside the image, cut at its edges, and class names of one line.

        Boxes with a score below `min_score`, which are not spelled, are reported.
        """
        boxes = tuple(self._check_box(box, origin) for box in value)
        unsure = sum(box.score < self.min_score for box in boxes)
        if unsure:
            report_correction(
                f"{origin} has {unsure} of {len(boxes)} boxes with a score below {self.min_score:g}, "
                "which are not spelled."
            )
        return boxes

    def _check_box(self, box: Box, origin: str) -> Box:
        if not 0 <= box.score <= 1:
            raise DataError(f"{origin} has the score {box.score:g}, expected 0 to 1.")
        name = check_one_line(box.class_name, origin, "class name")
        corners = check_corners(box.box, origin)
        return box if (corners, name) == (box.box, box.class_name) else replace(box, box=corners, class_name=name)

    def coerce(self, value: Any) -> tuple[Box, ...]:
        """Boxes as `check` takes them."""
        return tuple(super().coerce(value))

    def transform(self, value: Sequence[Box], crop: Crop) -> tuple[Box, ...]:
        """The boxes inside the crop, cut at its edges."""
        parts = [(crop_box(box.box, crop), box) for box in value]
        return sort_by_upper_left(
            [Box(box=part, class_name=box.class_name, score=box.score) for part, box in parts if part is not None]
        )

    def serialize(self, value: Sequence[Box], rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The boxes by the distance of their upper left corner from the image's."""
        kept = sort_by_upper_left([box for box in value if box.score >= self.min_score])
        return " ".join(f"{coordinate_tokens(box_to_bins(box.box))} {box.class_name}" for box in kept)

    def elements(self, text: str) -> list[str]:
        """One box each."""
        return split_before(text, lambda word: word.startswith("v0="))

    def parse(self, text: str) -> Parsed:
        """The boxes in the order of the text; one that is inside out or of an unknown class is left out."""
        reader = TokenReader(text)
        boxes: list[Box] = []
        well_formed = True
        while not reader.at_end:
            bins = reader.read_coordinates(0, 1, 2, 3)
            if bins is None:
                well_formed = False
                reader.skip_to(lambda word: word.startswith("v0="))
                continue
            name, corners = reader.read_name(), bins_to_box(bins)
            if is_valid_box(corners) and name and (not self.class_names or name in self.class_names):
                boxes.append(Box(box=corners, class_name=name))
            else:
                well_formed = False
        return Parsed(value=tuple(boxes), well_formed=well_formed)

    def render(self, value: Sequence[Box]) -> NDArray[np.uint8]:
        """The boxes on a plain ground."""
        image = Image.new("RGB", (_RENDER_SIZE, _RENDER_SIZE), _BACKGROUND)
        canvas = ImageDraw.Draw(image)
        for box in value:
            draw_box(canvas, box.box, box.class_name, color_for_name(box.class_name), _RENDER_SIZE)
        return np.array(image)

    def metrics(self) -> MetricCollection:
        """Average precision as COCO has it, and F1 at an overlap of .5."""
        return bounding_box_metrics()

    def constant_baseline(self, values: Sequence[Sequence[Box]]) -> tuple[Box, ...]:
        """The set of boxes that agrees best with the others, by F1 at an overlap of .5."""
        return tuple(medoid(values, box_f1, empty=()))


MODALITY = BoundingBoxes(
    name="bounding_boxes",
    title="Bounding boxes",
    layout=Text(max_tokens=256),
    tokenizer=WordPiece(),
    labeller="ViTDet ViT-H Cascade Mask R-CNN",
    decoding=sequence_decoding(order=31),
    aliases=("boxes",),
)
