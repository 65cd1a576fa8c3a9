"""Super-resolution: one modality at two resolutions, and only the higher one asked for."""

import pytest
import torch

from experiments.schema.load import build_modalities, find_config, load_config
from experiments.schema.resolutions import ResolutionConfig, modality_variant
from modalities.errors import ConfigError, UnknownNameError
from modalities.layouts import Dense, ScaleConfig
from modalities.registry import default_registry
from modalities.spec import tokenizer_tasks
from networks.batch import PaddedTokens
from networks.generation.defaults import default_decoding
from networks.masking.masker import Masker
from networks.streams import GridStream, streams_of

SCALE = ScaleConfig(size=64, patch=8, max_vocab=512, max_tokens=64)


def test_a_resolution_has_a_stream_and_a_tokenizer_of_its_own() -> None:
    config = load_config(find_config("superres"))
    modalities = build_modalities(config, default_registry())
    assert [modalities[name].num_tokens for name in ("rgb_32", "rgb_64")] == [16, 64]
    assert set(tokenizer_tasks(modalities)) == {"rgb_32", "rgb_64"}
    streams = {stream.name: stream for stream in streams_of(modalities, 5000)}
    assert set(streams) == {"rgb_32", "rgb_64", "caption"}
    strides = {name: stream.stride for name, stream in streams.items() if isinstance(stream, GridStream)}
    assert strides == {"rgb_32": 2.0, "rgb_64": 1.0}


def test_its_mixtures_ask_for_the_high_resolution_alone() -> None:
    config = load_config(find_config("superres"))
    streams = streams_of(build_modalities(config, default_registry()), 5000)
    b = 64
    samples = {
        stream.name: PaddedTokens(
            values=torch.full((b, stream.num_tokens), 300 if stream.name == "caption" else 1),
            lengths=torch.full((b,), stream.num_tokens),
        )
        for stream in streams
    }
    batch = Masker(streams, config.masking)(samples, torch.Generator().manual_seed(0))
    names = [stream.name for stream in streams]
    asked = {names[number] for number in batch.decoder_stream[batch.decoder_visible].tolist()}
    seen = {names[number] for number in batch.stream[batch.visible].tolist()}
    assert asked == {"rgb_64"}
    assert seen == {"rgb_32", "rgb_64", "caption"}


def test_every_other_number_follows_the_run() -> None:
    registry = default_registry()
    found = ResolutionConfig(base="depth", size=32).build_modality("depth_32", registry, SCALE)
    assert isinstance(found.layout, Dense)
    assert (found.layout.size, found.layout.patch, found.name) == (32, 8, "depth_32")
    kept = modality_variant("depth", found)
    assert (kept.base, kept.layout) == ("depth", found.layout)


def test_mistakes_are_named() -> None:
    registry = default_registry()
    with pytest.raises(ConfigError, match="caption is no grid"):
        ResolutionConfig(base="caption").build_modality("small", registry, SCALE)
    with pytest.raises(ConfigError, match=r"scale.patch \(8\) does not divide 36 pixels"):
        ResolutionConfig(size=36).build_modality("small", registry, SCALE)
    with pytest.raises(UnknownNameError):
        ResolutionConfig(base="rbg").build_modality("small", registry, SCALE)
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        ResolutionConfig(size=0)


def test_high_resolution_has_the_published_steps() -> None:
    modalities = build_modalities(load_config(find_config("superres")), default_registry())
    streams = {stream.name: stream for stream in streams_of(modalities, 9)}
    rgb = modalities["rgb_64"]
    assert default_decoding(streams["rgb_64"], rgb, from_image=False, is_super_resolution=True).steps == 8
    # Without the low resolution it is generated as the image is that it is a variant of.
    assert default_decoding(streams["rgb_64"], rgb, from_image=False).steps == 25
