"""Streams: what the model sees of modalities."""

from dataclasses import dataclass

import pytest

from benchmarks.samples import TEXT_VOCAB, published_streams
from modalities.layouts import ScaleConfig
from modalities.presets import FOURM_7, FOURM_21
from modalities.registry import default_registry
from modalities.storage.serialization import from_plain, to_plain
from networks.streams import (
    GridStream,
    PixelStream,
    SequenceStream,
    Stream,
    TokenStream,
    input_stream_name,
    streams_of,
    token_stream,
)


@dataclass(frozen=True, kw_only=True)
class Streams:
    """A record of streams."""

    streams: tuple[Stream, ...]


PUBLISHED = {stream.name: stream for stream in published_streams()}


def test_every_modality_has_one_stream_and_rgb_two() -> None:
    assert [*PUBLISHED] == [name for item in FOURM_21 for name in (("rgb_pixels", "rgb") if item == "rgb" else (item,))]
    assert len(published_streams(FOURM_7)) == 8


def test_the_published_token_counts_and_vocabularies_are_kept() -> None:
    grids = [stream for stream in PUBLISHED.values() if isinstance(stream, GridStream)]
    # 7 x 196 + 2 x 256 + 2 x 16: 4M-21's dense tokens.
    assert sum(stream.num_tokens for stream in grids) == 1916
    assert {
        name: token_stream(PUBLISHED[name]).vocab_size
        for name in ("rgb", "depth", "semseg", "dinov2_global", "caption")
    } == {
        "rgb": 16_384,
        "depth": 8192,
        "semseg": 4096,
        "dinov2_global": 8192,
        "caption": TEXT_VOCAB,
    }


def test_pixels_and_embeddings_are_inputs_only_and_have_no_vocabulary() -> None:
    inputs = [stream for stream in PUBLISHED.values() if not isinstance(stream, TokenStream)]
    assert [stream.name for stream in inputs] == ["rgb_pixels", "t5_caption"]
    assert [stream.channels for stream in inputs] == [16 * 16 * 3, 4096]
    assert not any(stream.is_target for stream in inputs)


def test_product_codes_have_no_places() -> None:
    stream = PUBLISHED["dinov2_global"]
    assert isinstance(stream, GridStream)
    assert (stream.grid, stream.num_tokens, stream.has_learned_positions) == (None, 16, True)


def test_both_kinds_of_edges_share_a_vocabulary_and_sequences_share_the_text() -> None:
    canny, sam = (token_stream(PUBLISHED[name]) for name in ("canny_edges", "sam_edges"))
    assert canny.vocabulary == sam.vocabulary
    texts = {stream.vocabulary for stream in PUBLISHED.values() if isinstance(stream, SequenceStream)}
    assert texts == {"text"}


def test_each_sequence_can_have_a_text_table_of_its_own() -> None:
    streams = published_streams(("caption", "bounding_boxes"), shared_text=False)
    assert [token_stream(stream).vocabulary for stream in streams] == ["caption", "bounding_boxes"]


@pytest.mark.parametrize("patch", [8, 16])
def test_streams_follow_the_scale(patch: int) -> None:
    scale = ScaleConfig(size=64, patch=patch, max_vocab=512, max_tokens=20)
    registry = default_registry()
    streams = streams_of({name: registry[name].scaled(scale) for name in FOURM_7}, 900)
    by_name = {stream.name: stream for stream in streams}
    assert by_name["depth"].num_tokens == (64 // patch) ** 2
    assert token_stream(by_name["depth"]).vocab_size == 512
    pixels = by_name["rgb_pixels"]
    assert isinstance(pixels, PixelStream)
    assert (pixels.channels, pixels.grid, pixels.patch) == (3 * patch**2, 64 // patch, patch)
    assert by_name["caption"].num_tokens == 20
    assert token_stream(by_name["caption"]).vocab_size == 900


def test_a_stream_knows_its_modality() -> None:
    assert {stream.name: stream.modality for stream in PUBLISHED.values() if stream.name != stream.modality} == {
        "rgb_pixels": "rgb"
    }
    assert input_stream_name("rgb", published_streams()) == "rgb_pixels"
    assert input_stream_name("depth", published_streams()) == "depth"


def test_a_stream_comes_back_from_plain_values_as_the_type_it_was() -> None:
    streams = Streams(streams=published_streams())
    assert from_plain(Streams, to_plain(streams)) == streams
