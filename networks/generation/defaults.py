"""The published settings of each kind of target, for when nobody says otherwise. Data in one place.

Source: the released demonstrations of 4M-21 (arXiv:2406.09406).
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig
from networks.generation.schedules import Temperature, TokenSchedule
from networks.streams import SequenceStream, Stream

GENERATION_ORDER = (
    "clip",
    "dinov2",
    "imagebind",
    "dinov2_global",
    "imagebind_global",
    "depth",
    "normals",
    "semseg",
    "canny_edges",
    "sam_edges",
    "rgb",
    "caption",
    "bounding_boxes",
    "human_poses",
    "sam_instances",
    "color_palette",
    "metadata_semantic",
    "metadata_geometric",
    "metadata_image",
    "web_text",
)
"""The order in which a chain is best generated: features, then what is seen, then the image, then words about it."""

SEQUENCE_TEMPERATURES = {
    "caption": 0.3,
    "web_text": 0.3,
    "bounding_boxes": 0.3,
    "human_poses": 0.1,
    "sam_instances": 0.01,
    "color_palette": 0.1,
    "metadata_semantic": 0.1,
    "metadata_geometric": 0.1,
    "metadata_image": 0.1,
}
"""Temperatures of sequences."""

LOW_TEMPERATURE, ONEX_TEMPERATURE = Temperature(start=0.01), Temperature.parse("onex:3:0.5:0.5")
FEATURE_DECODING = DecodingConfig(steps=8, temperature=LOW_TEMPERATURE, guidance=2.0, top_p=0.8)
MAP_DECODING = DecodingConfig(steps=8, temperature=ONEX_TEMPERATURE, guidance=2.0, top_p=0.8)
GRID_DECODINGS = {
    "clip": DecodingConfig(steps=50, temperature=Temperature.parse("onex:5:0.5:0.5"), guidance=3.0, top_p=0.8),
    "dinov2": FEATURE_DECODING,
    "imagebind": FEATURE_DECODING,
    "dinov2_global": FEATURE_DECODING,
    "imagebind_global": FEATURE_DECODING,
    "rgb": DecodingConfig(steps=25, temperature=ONEX_TEMPERATURE, guidance=2.0, top_p=0.8),
}
"""Grids that an image is not given for; what is not named is generated as a `MAP`."""
FROM_IMAGE_DECODING = DecodingConfig(steps=1, temperature=LOW_TEMPERATURE, guidance=2.0, top_p=0.8)
"""Grids that follow from a whole image."""
SUPER_RESOLUTION_DECODING = DecodingConfig(
    scheme=DecodingScheme.maskgit,
    steps=8,
    tokens=TokenSchedule.cosine,
    temperature=Temperature(start=1.0),
    guidance=3.0,
    top_p=0.9,
)
"""High resolution from low."""


def sort_targets(targets: Iterable[str]) -> list[str]:
    """``targets`` in the order of `ORDER`; what it does not know stays behind, in the order given."""
    return sorted(
        targets, key=lambda name: GENERATION_ORDER.index(name) if name in GENERATION_ORDER else len(GENERATION_ORDER)
    )


def default_decoding(stream: Stream, *, from_image: bool, is_super_resolution: bool = False) -> DecodingConfig:
    """The published settings of one target, with no more steps than it has tokens.

    Args:
        from_image: True where a whole image is among the inputs.
        is_finer: True where the target is the same at a higher resolution than an input.
    """
    if isinstance(stream, SequenceStream):
        return DecodingConfig(temperature=Temperature(start=SEQUENCE_TEMPERATURES.get(stream.name, 0.3)), top_p=0.8)
    chosen = (
        SUPER_RESOLUTION_DECODING
        if is_super_resolution
        else FROM_IMAGE_DECODING
        if from_image
        else GRID_DECODINGS.get(stream.name, MAP_DECODING)
    )
    return replace(chosen, steps=min(chosen.steps, stream.num_tokens))


def default_generation_config(
    streams: Iterable[Stream], *, from_image: bool, finer: Collection[str] = ()
) -> GenerationConfig:
    """The published settings of every target."""
    return GenerationConfig(
        decodings={
            stream.name: default_decoding(stream, from_image=from_image, is_super_resolution=stream.name in finer)
            for stream in streams
            if stream.is_target
        }
    )
