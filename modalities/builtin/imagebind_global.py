"""ImageBind global feature: the whole image in one vector."""

from modalities.decoding import feature_decoding
from modalities.kinds.features import feature_vector_modality

MODALITY = feature_vector_modality(
    "imagebind_global",
    "ImageBind global (proxy)",
    "ImageBind-H/14, class token of the trunk",
    channels=1280,
    decoding=feature_decoding(order=4),
)
