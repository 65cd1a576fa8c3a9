"""The published settings are the modalities' own, and fit every model that they are used with."""

import pytest

from modalities.decoding import DecodingDefaults
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Dense, ScaleConfig, Text
from modalities.presets import FOURM_21
from modalities.registry import default_registry
from modalities.spec import Modality
from modalities.tokenizer_specs import WordPiece
from networks.generation.config import DecodingConfig
from networks.generation.defaults import default_decoding, default_generation_config, sort_targets
from networks.streams import GridStream, SequenceStream, streams_of

SMALL = ScaleConfig(size=64, patch=8, max_channels=64, max_vocab=512, max_tokens=128)
REGISTRY = default_registry()
KNOWN = {name: REGISTRY[name] for name in FOURM_21}
STREAMS = {stream.name: stream for stream in streams_of(KNOWN, 30_000)}
TARGETS = [stream.name for stream in STREAMS.values() if stream.is_target]
PUBLISHED_ORDER = [
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
]
TEMPERATURES = {"caption": 0.3, "web_text": 0.3, "bounding_boxes": 0.3, "sam_instances": 0.01}
"""Of sequences; 0.1 for the others."""


def decoding(name: str, *, from_image: bool = False, is_super_resolution: bool = False) -> DecodingConfig:
    return default_decoding(STREAMS[name], KNOWN[name], from_image=from_image, is_super_resolution=is_super_resolution)


@pytest.mark.parametrize("scale", [ScaleConfig(), SMALL])
def test_no_target_has_more_steps_than_tokens(scale: ScaleConfig) -> None:
    modalities = {name: item.scaled(scale) for name, item in KNOWN.items()}
    streams = streams_of(modalities, 30_000)
    for from_image in (True, False):
        plan = default_generation_config(streams, modalities, from_image=from_image)
        for stream in streams:
            if stream.is_target and isinstance(stream, GridStream):
                assert 1 <= plan.for_stream(stream.name).steps <= stream.num_tokens


def test_the_published_order_is_that_of_the_modalities() -> None:
    assert sort_targets(sorted(TARGETS), KNOWN) == PUBLISHED_ORDER
    assert len({KNOWN[name].decoding_defaults.order for name in TARGETS}) == len(TARGETS)


def test_the_published_numbers() -> None:
    for name, steps, temperature, guidance in (
        ("clip", 50, "onex:5:0.5:0.5", 3.0),
        ("dinov2", 8, "0.01", 2.0),
        ("imagebind", 8, "0.01", 2.0),
        ("dinov2_global", 8, "0.01", 2.0),
        ("imagebind_global", 8, "0.01", 2.0),
        ("depth", 8, "onex:3:0.5:0.5", 2.0),
        ("normals", 8, "onex:3:0.5:0.5", 2.0),
        ("semseg", 8, "onex:3:0.5:0.5", 2.0),
        ("canny_edges", 8, "onex:3:0.5:0.5", 2.0),
        ("sam_edges", 8, "onex:3:0.5:0.5", 2.0),
        ("rgb", 25, "onex:3:0.5:0.5", 2.0),
    ):
        found = decoding(name)
        assert (found.steps, str(found.temperature), found.guidance, found.top_p) == (steps, temperature, guidance, 0.8)
    for name in TARGETS:
        if isinstance(STREAMS[name], SequenceStream):
            found = decoding(name)
            assert (found.temperature.start, found.top_p, found.guidance) == (TEMPERATURES.get(name, 0.1), 0.8, 1.0)
    assert decoding("depth", from_image=True).steps == 1
    finer = decoding("rgb", is_super_resolution=True)
    assert (finer.steps, finer.scheme.value, finer.tokens.value) == (8, "maskgit", "cosine")


def test_a_plug_in_is_generated_as_its_data_type_is_and_last() -> None:
    sound: Modality = FreeTextModality(name="sound", title="Sound", layout=Text(max_tokens=9), tokenizer=WordPiece())
    known = {**KNOWN, "sound": sound}
    assert sort_targets(["sound", "caption", "rgb", "clip"], known) == ["clip", "rgb", "caption", "sound"]
    assert sound.decoding_defaults == DecodingDefaults(temperature="0.3")
    unsaid = type(KNOWN["depth"])(
        name="heat", title="Heat", layout=Dense(channels=1, size=224, patch=16), tokenizer=KNOWN["depth"].tokenizer
    )
    assert unsaid.decoding_defaults == DecodingDefaults(temperature="onex:3:0.5:0.5", steps=8, guidance=2.0)
