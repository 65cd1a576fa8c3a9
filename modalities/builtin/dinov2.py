"""DINOv2 features: what each patch is like, learnt without words."""

from modalities.decoding import feature_decoding
from modalities.kinds.features import feature_map_modality

MODALITY = feature_map_modality(
    "dinov2",
    "DINOv2 features (proxy)",
    "DINOv2 ViT-B/14, patch tokens",
    channels=768,
    patch=14,
    decoding=feature_decoding(order=1),
)
