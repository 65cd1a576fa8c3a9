"""ImageBind features: each patch in the trunk of a network that binds six senses."""

from modalities.decoding import feature_decoding
from modalities.kinds.features import feature_map_modality

MODALITY = feature_map_modality(
    "imagebind",
    "ImageBind features (proxy)",
    "ImageBind-H/14, patch tokens of the trunk",
    channels=1280,
    patch=14,
    decoding=feature_decoding(order=2),
)
