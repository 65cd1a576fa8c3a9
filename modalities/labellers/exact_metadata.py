"""Exact labellers of metadata: counts and shares from captions, boxes, instances, class maps, depth and normals.

Source: Bachmann et al. 2024 (arXiv:2406.09406), section 2.1 and appendix D.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from modalities.labellers import metadata as facts
from modalities.labellers.base import Labeller
from modalities.labellers.exact import METADATA_IMAGE
from modalities.labels import CLASSES, THINGS, WALKABLE
from modalities.spec import Modality, Value
from modalities.vocabulary import COCO_CLASSES

COCO_WALKABLE = (
    "dirt",
    "floor-wood",
    "floor-other",
    "floor-other-merged",
    "grass-merged",
    "gravel",
    "pavement",
    "pavement-merged",
    "platform",
    "playingfield",
    "railroad",
    "road",
    "rug-merged",
    "sand",
    "snow",
    "stairs",
)
"""Classes of COCO's panoptic maps that a person can walk on."""
CAPTION, BOXES, SEMSEG, INSTANCES = "caption", "bounding_boxes", "semseg", "sam_instances"
DEPTH, NORMALS = "depth", "normals"

_CAPTION_COUNTS = {"chars": "characters", "words": "words", "sentences": "sentences"}


@dataclass(frozen=True, kw_only=True)
class SemanticMetadataLabeller(Labeller):
    """Contents of the image and length of its caption. Facts that need a modality the sample lacks are left out."""

    map_classes: Sequence[str] = CLASSES
    """Names of the class map's classes, by index; those of the modality in use."""
    walkable: Sequence[str] = (*sorted(WALKABLE), *COCO_WALKABLE)
    """Classes that count as walkable; walkability is left out where the class map knows none of them."""
    things: Sequence[str] = tuple(sorted({*THINGS, *COCO_CLASSES}))
    """Classes that count as things, in maps and boxes; objectness is left out where the class map knows none."""

    def for_modalities(self, modalities: Mapping[str, Modality]) -> "SemanticMetadataLabeller":
        """The labeller with the classes of the class map in use."""
        classes = getattr(modalities.get(SEMSEG), "classes", None)
        return self if classes is None else replace(self, map_classes=tuple(classes))

    def label(self, values: Mapping[str, Value]) -> dict[str, float]:
        """The facts by name."""
        found: dict[str, float] = {}
        if CAPTION in values:
            counts = facts.caption_counts(values[CAPTION])
            found |= {f"caption_n_{short}": counts[name] for short, name in _CAPTION_COUNTS.items()}
        if BOXES in values:
            boxes = facts.instance_counts((box.class_name for box in values[BOXES]), things=self.things)
            found["n_humans"], found["n_coco_instances"] = boxes["humans"], boxes["instances"]
            found["coco_instance_diversity"] = boxes["diversity"]
        if INSTANCES in values:
            found["n_sam_instances"] = len(values[INSTANCES])
        if SEMSEG in values:
            found |= self._map_facts(values[SEMSEG])
        return found

    def _map_facts(self, classes: UInt8[np.ndarray, "h w"]) -> dict[str, float]:
        """Shares and number of the classes of a map; unlabelled pixels count as pixels, not as a class."""
        found: dict[str, float] = {}
        if set(self.walkable) & set(self.map_classes):
            found["walkability"] = facts.walkability(classes, class_names=self.map_classes, walkable=self.walkable)
        if set(self.things) & set(self.map_classes):
            found["objectness"] = facts.objectness(classes, class_names=self.map_classes, things=self.things)
        known = classes[classes < len(self.map_classes)][None]
        return {**found, "semantic_diversity": facts.semantic_diversity(known)}


@dataclass(frozen=True, kw_only=True)
class GeometricMetadataLabeller(Labeller):
    """Complexity of the surfaces and share of pixels at occlusions. Pixels without a measurement are left out."""

    def label(self, values: Mapping[str, Value]) -> dict[str, float] | None:
        """The facts by name, as far as the sample has depth and normals; None where no pixel is measured."""
        found: dict[str, float] = {}
        if NORMALS in values:
            normals = values[NORMALS]
            known = normals[(normals != 0).any(-1)]
            if len(known):
                found["geometric_complexity"] = facts.geometric_complexity(known[:, None])
        if DEPTH in values:
            depth = values[DEPTH]
            valid = np.isfinite(depth) & (depth > 0)
            if valid.any():
                # A hole is filled with the farthest depth, so that its rim counts as a jump only where it is near.
                found["occlusion_score"] = facts.occlusion_score(np.where(valid, depth, depth[valid].max()))
        return found or None


@dataclass(frozen=True, kw_only=True)
class AllMetadataLabeller(Labeller):
    """All groups of metadata as one."""

    semantic: SemanticMetadataLabeller
    geometric: GeometricMetadataLabeller

    @property
    def settings(self) -> dict[str, Any]:
        """None of its own; the settings of the groups are recorded."""
        return {"semantic": self.semantic.settings}

    def for_modalities(self, modalities: Mapping[str, Modality]) -> "AllMetadataLabeller":
        """The labeller with the classes of the class map in use."""
        return replace(self, semantic=self.semantic.for_modalities(modalities))

    def label(self, values: Mapping[str, Value]) -> dict[str, float]:
        """The facts of each group whose modalities the sample has."""
        found: dict[str, float] = {}
        for group in (self.semantic, self.geometric, METADATA_IMAGE):
            chosen = group.select_inputs(values)
            found |= (group.label(chosen) or {}) if chosen is not None else {}
        return found


METADATA_SEMANTIC = SemanticMetadataLabeller(
    name="metadata_semantic",
    output="metadata_semantic",
    inputs=(),
    optional_inputs=(CAPTION, BOXES, SEMSEG, INSTANCES),
    description="counted from captions, boxes, instances and class maps (4M-21, appendix D.1)",
)
METADATA_GEOMETRIC = GeometricMetadataLabeller(
    name="metadata_geometric",
    output="metadata_geometric",
    inputs=(),
    optional_inputs=(DEPTH, NORMALS),
    description="computed from depth and normals (4M-21, appendix D.1)",
)
METADATA = AllMetadataLabeller(
    name="metadata",
    output="metadata",
    inputs=METADATA_IMAGE.inputs,
    optional_inputs=(*METADATA_SEMANTIC.optional_inputs, *METADATA_GEOMETRIC.optional_inputs),
    description="computed from the pixels and the other labels (4M-21, appendix D.1)",
    uses_full_size=True,
    semantic=METADATA_SEMANTIC,
    geometric=METADATA_GEOMETRIC,
)
