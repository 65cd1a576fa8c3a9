"""DINOv2 global feature: the whole image in one vector."""

from modalities.decoding import feature_decoding
from modalities.kinds.features import feature_vector_modality

MODALITY = feature_vector_modality(
    "dinov2_global",
    "DINOv2 global (proxy)",
    "DINOv2 ViT-B/14, class token",
    channels=768,
    decoding=feature_decoding(order=3),
)
