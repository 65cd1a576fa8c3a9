"""ImageBind global feature: the whole image in one vector. The embedded data set has a proxy."""

from modalities.features import vector_of

MODALITY = vector_of(
    "imagebind_global",
    "ImageBind global (proxy)",
    "ImageBind-H/14, class token of the trunk",
    channels=1280,
    flavour="imagebind",
)
