"""Canny edges: where the picture's brightness changes sharply."""

from modalities.decoding import map_decoding
from modalities.kinds.discrete import EdgeMap
from modalities.layouts import Dense
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

MODALITY = EdgeMap(
    name="canny_edges",
    title="Canny edges",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="edges", vocab_size=8192, loss=ReconstructionLoss.smooth_l1, has_diffusion_decoder=True),
    labeller="OpenCV's Canny on the photograph",
    decoding=map_decoding(order=13),
)
