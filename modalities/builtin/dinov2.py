"""DINOv2 features: what each patch is like, learnt without words. The embedded data set has a proxy."""

from modalities.features import map_of

MODALITY = map_of("dinov2", "DINOv2 features (proxy)", "DINOv2 ViT-B/14, patch tokens", channels=768, patch=14)
