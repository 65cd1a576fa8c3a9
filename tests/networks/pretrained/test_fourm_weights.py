"""Our models in the published format and back, and what does not fit it."""

from dataclasses import replace

import pytest
import torch

from modalities.errors import CheckpointError
from networks.fourm.config import FourMConfig, Sharing, Size
from networks.fourm.model import FourM
from networks.pretrained.fourm_layout import read_layout
from networks.pretrained.fourm_weights import export_config, export_fourm, load_fourm
from networks.pretrained.names import PUBLISHED_MODALITIES, published_stream_name, stream_names_of
from networks.pretrained.warm_start import warm_start
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, TokenStream

TEXT = SequenceStream(name="caption", num_tokens=6, vocabulary="text", vocab_size=20)
STREAMS = (
    PixelStream(name="rgb_pixels", num_tokens=4, channels=12, grid=2, patch=2),
    GridStream(name="depth", num_tokens=4, vocabulary="depth", vocab_size=7, grid=2),
    GridStream(name="dinov2_global", num_tokens=3, vocabulary="dinov2_global", vocab_size=5),
    TEXT,
    replace(TEXT, name="bounding_boxes"),
    EmbeddingStream(name="t5_caption", num_tokens=4, channels=6),
    GridStream(name="heat", num_tokens=4, vocabulary="heat", vocab_size=6, grid=2),
)
SMALL = FourMConfig(size=Size.nano, width=24, heads=3, encoder_depth=1, decoder_depth=2)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, sharing=Sharing.all, registers=2, qk_norm=True),
        replace(SMALL, sharing=Sharing.none, gated=False, bias=True, shared_positions=False, learned_positions=True),
        replace(SMALL, position_scale=2.0, max_period=20.0, shared_streams=False),
    ],
)
def test_loading_what_was_saved_is_the_identity(config: FourMConfig) -> None:
    torch.manual_seed(0)
    model = FourM(STREAMS, config)
    exported = export_fourm(model)
    again = load_fourm(STREAMS, config, exported)
    assert all(torch.equal(value, exported[name]) for name, value in export_fourm(again).items())
    ours, theirs = dict(model.named_parameters()), dict(again.named_parameters())
    assert ours.keys() == theirs.keys()
    differing = {name for name, value in ours.items() if not torch.equal(value, theirs[name])}
    # A decoder that has places of its own has some for inputs too, which it never looks up.
    assert differing <= {"decoder_position_embedding.learned", "decoder_position_embedding.stream"}


def test_a_saved_model_is_read_without_what_we_say_of_it() -> None:
    torch.manual_seed(0)
    streams = tuple(
        replace(item, vocabulary=item.name) if isinstance(item, TokenStream) else item for item in STREAMS[:-1]
    )
    model = FourM(streams, replace(SMALL, sharing=Sharing.none, shared_positions=False))
    tensors = export_fourm(model)
    read, config = read_layout(export_config(model), tensors)
    assert [stream.name for stream in read] == [stream.name for stream in streams]
    assert not config.gated ^ SMALL.gated
    again = export_fourm(load_fourm(read, config, tensors))
    assert again.keys() == tensors.keys()
    assert all(torch.allclose(value, again[name], atol=3e-5) for name, value in tensors.items())


def test_what_the_format_has_no_place_for_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"no place for model.deep_stem"):
        export_fourm(FourM(STREAMS, replace(SMALL, deep_stem=True)))


def test_a_head_that_chooses_among_some_ids_is_exported_whole_and_read_back_equal() -> None:
    cut = tuple(replace(item, predictable=(1, 5)) if item is TEXT else item for item in STREAMS)
    model = FourM(cut, SMALL)
    tensors = export_fourm(model)
    name = next(key for key in tensors if key.endswith("caption.to_logits.weight"))
    assert len(tensors[name]) == TEXT.vocab_size
    again = load_fourm(cut, SMALL, tensors)
    for (key, value), other in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(value, other), key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"act_layer": "ReLU"}, "act_layer = 'ReLU'; models with 'SiLU' can be read"),
        ({"decoder_sep_mask": False}, "decoder_sep_mask = False"),
        ({"domains_in": ["sound"]}, "has a modality 'sound', which is none of rgb, tok_rgb"),
        ({"domains_out": ["tok_depth@448"]}, "lacks the tensor 'decoder_embeddings.tok_depth@448.pos_emb'"),
        ({"dim": "wide"}, "dim = 'wide', expected int"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_line(changes: dict[str, object], message: str) -> None:
    model = FourM(STREAMS[:2], replace(SMALL, sharing=Sharing.none))
    with pytest.raises(CheckpointError, match=message) as error:
        read_layout({**export_config(model), **changes}, export_fourm(model))
    assert "\n" not in str(error.value)


def test_the_table_of_names_works_in_both_directions() -> None:
    names = [item.name_at(224) for item in PUBLISHED_MODALITIES.values()]
    ours = stream_names_of(names)
    assert len(set(ours.values())) == len(PUBLISHED_MODALITIES)
    assert ours["tok_normal@224"] == "normals"
    assert stream_names_of(["tok_rgb@224", "tok_rgb@448", "rgb@448"]) == {
        "tok_rgb@224": "rgb",
        "tok_rgb@448": "rgb_448",
        "rgb@448": "rgb_pixels",
    }
    assert [published_stream_name(stream) for stream in STREAMS] == [
        "rgb@4",
        "tok_depth@32",
        "tok_dinov2_global",
        "caption",
        "det",
        "t5_caption",
        "heat",
    ]


def test_a_model_starts_from_what_another_has_in_another_order() -> None:
    torch.manual_seed(0)
    own = tuple(
        replace(item, vocabulary=item.name) if isinstance(item, TokenStream) else item
        for item in reversed(STREAMS[:-1])
    )
    other = FourM(own, replace(SMALL, sharing=Sharing.none))
    model = FourM(STREAMS, SMALL)
    before = model.tokens.vocabulary_rows("heat").clone()
    found = warm_start(model, other)
    assert torch.equal(model.tokens.vocabulary_rows("depth"), other.tokens.vocabulary_rows("depth"))
    assert torch.equal(model.tokens.vocabulary_rows("text"), other.tokens.vocabulary_rows("caption"))
    assert torch.equal(model.position_embedding.stream[1], other.position_embedding.stream[other.index["depth"]])
    assert torch.equal(model.tokens.vocabulary_rows("heat"), before)
    assert any("heat" in name for name in found.kept)
    assert "encoder_embeddings.bounding_boxes.token_emb.weight" in found.shared
    assert "start afresh" in str(found)
