"""What computes a modality from arrays and scenes: exact code, and proxies for networks that have no weights here."""

from modalities.labellers.canny import canny, instance_edges
from modalities.labellers.features import FLAVOURS, feature_map, feature_vector, text_embedding
from modalities.labellers.metadata import (
    caption_counts,
    geometric_complexity,
    image_statistics,
    instance_counts,
    objectness,
    occlusion_score,
    semantic_diversity,
    walkability,
)
from modalities.labellers.palette import palette

__all__ = [
    "FLAVOURS",
    "canny",
    "caption_counts",
    "feature_map",
    "feature_vector",
    "geometric_complexity",
    "image_statistics",
    "instance_counts",
    "instance_edges",
    "objectness",
    "occlusion_score",
    "palette",
    "semantic_diversity",
    "text_embedding",
    "walkability",
]
