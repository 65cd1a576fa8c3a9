"""DINOv2 global feature: the whole image in one vector. The embedded data set has a proxy."""

from modalities.features import vector_of

MODALITY = vector_of(
    "dinov2_global", "DINOv2 global (proxy)", "DINOv2 ViT-B/14, class token", channels=768, flavour="dinov2"
)
