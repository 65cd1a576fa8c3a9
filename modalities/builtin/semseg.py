"""Semantic segmentation: a class for each pixel."""

from modalities.decoding import map_decoding
from modalities.kinds.discrete import ClassMap
from modalities.labels import CLASSES
from modalities.layouts import Dense
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

MODALITY = ClassMap(
    name="semseg",
    title="Semantic segmentation",
    classes=CLASSES,
    layout=Dense(channels=len(CLASSES), size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="semseg", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="Mask2Former Swin-B on COCO panoptic, 133 classes",
    decoding=map_decoding(order=12),
)
