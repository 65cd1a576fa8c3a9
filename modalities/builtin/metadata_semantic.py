"""Semantic metadata: what is in the image, how much of it, and how long its caption is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modalities.geometry.boxes import visible_boxes
from modalities.kinds.metadata import SEMANTIC_FIELDS, Metadata
from modalities.labellers import metadata as labeller
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class SemanticMetadata(Metadata):
    """Facts about content."""

    def from_scene(self, scene: "Scene") -> dict[str, float]:
        """The facts by the definitions of 4M-21, from the exact scene.

        SAM's instances are all that is visible, COCO's are the bounding boxes.
        """
        caption = labeller.caption_counts(scene.caption)
        boxes = labeller.instance_counts(box.class_name for box in visible_boxes(scene))
        return {
            "caption_n_chars": caption["characters"],
            "caption_n_words": caption["words"],
            "caption_n_sentences": caption["sentences"],
            "n_humans": boxes["humans"],
            "n_sam_instances": len(scene.objects) + len(scene.people),
            "n_coco_instances": boxes["instances"],
            "coco_instance_diversity": boxes["diversity"],
            "walkability": float(labeller.walkability(scene.classes)),
            "objectness": float(labeller.objectness(scene.classes)),
            "semantic_diversity": int(labeller.semantic_diversity(scene.classes)),
        }


MODALITY = SemanticMetadata(
    name="metadata_semantic",
    title="Semantic metadata",
    layout=Text(max_tokens=2 * len(SEMANTIC_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=SEMANTIC_FIELDS,
    labeller="counted from the other labels",
)
