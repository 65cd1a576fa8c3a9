"""CLIP features: what each patch means, as words would say it."""

from modalities.kinds.features import feature_map_modality

MODALITY = feature_map_modality(
    "clip", "CLIP features (proxy)", "CLIP ViT-B/16, last layer, projected", channels=512, patch=16
)
