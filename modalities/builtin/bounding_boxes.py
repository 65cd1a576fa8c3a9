"""Bounding boxes with class names, spelled ``v0=xmin v1=ymin v2=xmax v3=ymax class`` from the upper left on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from modalities.boxes import Box, color_of, draw_box, from_bins, is_box, ordered, seen, to_bins, visible_things
from modalities.detection_metrics import box_f1, box_measures
from modalities.sequences import Reader, RecordModality, medoid
from modalities.spec import Measure, Parsed, Text, View, WordPiece
from modalities.text import CLASS_NAMES, coordinates

if TYPE_CHECKING:
    from modalities.scene import Scene

_SIDE = 224
_GROUND = (238, 238, 234)


@dataclass(frozen=True, kw_only=True)
class BoundingBoxes(RecordModality):
    """Things with a place and a class. A value is a tuple of `Box`."""

    min_score: float = 0.6
    """Boxes of which the detector is less sure are not spelled."""
    class_names: tuple[str, ...] = CLASS_NAMES
    """Names that a text may use; empty for any."""

    def look(self, scene: "Scene") -> tuple[Box, ...]:
        """The boxes of the scene's things and people of which enough can be seen."""
        return visible_things(scene)

    def to_json(self, value: Sequence[Box]) -> Any:
        """A list of objects with box, class_name and score."""
        return [box.to_json() for box in value]

    def from_json(self, data: Any) -> tuple[Box, ...]:
        """The boxes of such a list."""
        return tuple(Box.from_json(item) for item in data)

    def augment(self, value: Sequence[Box], view: View) -> tuple[Box, ...]:
        """The boxes that the view shows, cut at its edges."""
        parts = [(seen(box.box, view), box) for box in value]
        return ordered(
            [Box(box=part, class_name=box.class_name, score=box.score) for part, box in parts if part is not None]
        )

    def serialise(self, value: Sequence[Box], rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The boxes by the distance of their upper left corner from the image's."""
        kept = ordered([box for box in value if box.score >= self.min_score])
        return " ".join(f"{coordinates(to_bins(box.box))} {box.class_name}" for box in kept)

    def parse(self, text: str) -> Parsed:
        """The boxes in the order of the text; one that is inside out or of an unknown class is left out."""
        reader = Reader(text)
        boxes: list[Box] = []
        well_formed = True
        while not reader.at_end:
            bins = reader.coordinates(0, 1, 2, 3)
            if bins is None:
                well_formed = False
                reader.skip_to(lambda word: word.startswith("v0="))
                continue
            name, corners = reader.name(), from_bins(bins)
            if is_box(corners) and name and (not self.class_names or name in self.class_names):
                boxes.append(Box(box=corners, class_name=name))
            else:
                well_formed = False
        return Parsed(value=tuple(boxes), well_formed=well_formed)

    def draw(self, value: Sequence[Box]) -> NDArray[np.uint8]:
        """The boxes on a plain ground."""
        image = Image.new("RGB", (_SIDE, _SIDE), _GROUND)
        canvas = ImageDraw.Draw(image)
        for box in value:
            draw_box(canvas, box.box, box.class_name, color_of(box.class_name), _SIDE)
        return np.array(image)

    def metrics(self) -> dict[str, Measure]:
        """Average precision as COCO has it, and F1 at an overlap of .5."""
        return box_measures()

    def typical(self, values: Sequence[Sequence[Box]]) -> tuple[Box, ...]:
        """The set of boxes that agrees best with the others, by F1 at an overlap of .5."""
        return tuple(medoid(values, box_f1, empty=()))


MODALITY = BoundingBoxes(
    name="bounding_boxes",
    title="Bounding boxes",
    layout=Text(max_tokens=256),
    tokenizer=WordPiece(),
    labeller="ViTDet ViT-H Cascade Mask R-CNN",
)
