"""The published settings fit every model that they are used with."""

import pytest

from modalities.layouts import Scale
from modalities.presets import FOURM_21
from modalities.registry import default_registry
from networks.generation.defaults import (
    GENERATION_ORDER,
    GRID_DECODINGS,
    SEQUENCE_TEMPERATURES,
    default_decoding,
    default_generation_config,
    sort_targets,
)
from networks.streams import GridStream, SequenceStream, streams_of

SMALL = Scale(size=64, patch=8, max_channels=64, max_vocab=512, max_tokens=128)


@pytest.mark.parametrize("scale", [Scale(), SMALL])
def test_no_target_has_more_steps_than_tokens(scale: Scale) -> None:
    registry = default_registry()
    streams = streams_of({name: registry[name].scaled(scale) for name in FOURM_21}, 30_000)
    for from_image in (True, False):
        plan = default_generation_config(streams, from_image=from_image)
        for stream in streams:
            if stream.is_target and isinstance(stream, GridStream):
                assert 1 <= plan.for_stream(stream.name).steps <= stream.num_tokens


def test_every_built_in_target_has_its_place_and_every_sequence_its_temperature() -> None:
    registry = default_registry()
    streams = streams_of({name: registry[name] for name in FOURM_21}, 30_000)
    targets = {stream.name for stream in streams if stream.is_target}
    assert targets == set(GENERATION_ORDER)
    assert {stream.name for stream in streams if isinstance(stream, SequenceStream)} == set(SEQUENCE_TEMPERATURES)
    assert set(GRID_DECODINGS) <= targets


def test_the_published_numbers() -> None:
    registry = default_registry()
    by_name = {stream.name: stream for stream in streams_of({name: registry[name] for name in FOURM_21}, 30_000)}
    clip = default_decoding(by_name["clip"], from_image=False)
    assert (clip.steps, str(clip.temperature), clip.guidance) == (50, "onex:5:0.5:0.5", 3.0)
    rgb = default_decoding(by_name["rgb"], from_image=False)
    assert (rgb.steps, str(rgb.temperature), rgb.guidance) == (25, "onex:3:0.5:0.5", 2.0)
    assert default_decoding(by_name["depth"], from_image=True).steps == 1
    finer = default_decoding(by_name["rgb"], from_image=False, is_super_resolution=True)
    assert (finer.steps, finer.scheme.value, finer.tokens.value) == (8, "maskgit", "cosine")


def test_targets_come_in_the_published_order_and_unknown_ones_last() -> None:
    assert sort_targets(["audio", "caption", "rgb", "clip"]) == ["clip", "rgb", "caption", "audio"]
