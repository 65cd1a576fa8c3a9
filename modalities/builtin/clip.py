"""CLIP features: what each patch means, as words would say it. The embedded data set has a proxy."""

from modalities.features import map_of

MODALITY = map_of("clip", "CLIP features (proxy)", "CLIP ViT-B/16, last layer, projected", channels=512, patch=16)
