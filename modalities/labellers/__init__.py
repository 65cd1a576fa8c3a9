"""What computes a modality from arrays and scenes: exact code, and proxies for networks that have no weights here."""

from modalities.labellers.canny import canny, instance_edges
from modalities.labellers.features import PROXY_NAMES, feature_map, feature_vector, text_embedding
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
from modalities.labellers.palette import dominant_colors

__all__ = [
    "PROXY_NAMES",
    "canny",
    "caption_counts",
    "dominant_colors",
    "feature_map",
    "feature_vector",
    "geometric_complexity",
    "image_statistics",
    "instance_counts",
    "instance_edges",
    "objectness",
    "occlusion_score",
    "semantic_diversity",
    "text_embedding",
    "walkability",
]
