"""CLIP features: what each patch means, as words would say it."""

from modalities.decoding import DecodingDefaults
from modalities.kinds.features import feature_map_modality

MODALITY = feature_map_modality(
    "clip",
    "CLIP features (proxy)",
    "CLIP ViT-B/16, last layer, projected",
    channels=512,
    patch=16,
    decoding=DecodingDefaults(order=0, temperature="onex:5:0.5:0.5", steps=50, guidance=3.0),
)
