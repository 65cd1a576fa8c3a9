"""Streams and config of a model from its published config and tensors."""

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any, assert_never

import torch
from torch import Tensor

from modalities.errors import CheckpointError
from networks.fourm.config import FourMConfig, Sharing, Size
from networks.layers.blocks import BiasConfig
from networks.layers.positions import sincos_1d, sincos_2d
from networks.pretrained.config_names import SINCOS_TOLERANCE
from networks.pretrained.names import PublishedModality, parse_published_name, stream_names_of
from networks.pretrained.source import TensorSource, get_setting, shape_of
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream

ENCODER, DECODER = "encoder_embeddings", "decoder_embeddings"

IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet, by which published models standardize pixels."""


def read_layout(config: Mapping[str, Any], tensors: TensorSource) -> tuple[tuple[Stream, ...], FourMConfig]:
    """The streams and the config of a published model.

    Raises:
        CheckpointError: The config has a setting that is not supported, or a tensor is missing.
    """
    _check_supported(config)
    domains_in, domains_out = get_setting(config, "domains_in", list), get_setting(config, "domains_out", list)
    names = list(dict.fromkeys([*domains_in, *domains_out]))
    ours = stream_names_of(names)
    streams = tuple(
        _stream(name, ours[name], tensors, is_input=name in domains_in, is_predicted=name in domains_out)
        for name in names
    )
    return streams, _model(config, streams, tensors)


def fixed_positions(stream: Stream, width: int, num: int) -> Tensor | None:
    """The published table of fixed positions, ``num`` rows; None for product codes, which have no order."""
    match stream:
        case GridStream() | PixelStream():
            return None if stream.grid is None else sincos_2d(stream.grid, width)
        case SequenceStream() | EmbeddingStream():
            return sincos_1d(num, width)
        case _:
            assert_never(stream)


def _check_supported(config: Mapping[str, Any]) -> None:
    gated = get_setting(config, "gated_mlp", bool, default=False)
    allowed = {
        "act_layer": "SiLU" if gated else "GELU",
        "decoder_causal_mask": False,
        "decoder_sep_mask": True,
    }
    for name, value in allowed.items():
        if config.get(name, value) != value:
            raise CheckpointError(
                f"The checkpoint's config has {name} = {config[name]!r}; models with {value!r} can be read."
            )


def _stream(name: str, ours: str, tensors: TensorSource, *, is_input: bool, is_predicted: bool) -> Stream:
    item, _ = parse_published_name(name)
    if is_predicted and item.kind in (PixelStream, EmbeddingStream):
        raise CheckpointError(f"The checkpoint predicts {name!r}, which has no tokens to predict.")
    prefix = f"{ENCODER if is_input else DECODER}.{name}"
    positions = shape_of(tensors, f"{prefix}.pos_emb")[1]
    stream: Stream
    if item.kind is PixelStream:
        channels = shape_of(tensors, f"{prefix}.proj.weight")[1]
        stream = PixelStream(
            name=ours,
            num_tokens=positions,
            channels=channels,
            grid=_grid_side(name, positions),
            patch=_grid_side(name, channels // 3),
            mean=IMAGE_MEAN,
            std=IMAGE_STD,
        )
    elif item.kind is EmbeddingStream:
        channels = shape_of(tensors, f"{prefix}.emb_proj.weight")[1]
        stream = EmbeddingStream(name=ours, num_tokens=item.max_tokens, channels=channels, num_positions=positions)
    else:
        table = f"{prefix}.token_emb.weight"
        vocab_size = shape_of(tensors, table if table in tensors else f"{prefix}.to_logits.weight")[0]
        stream = _token_stream(item, name, ours, positions, vocab_size, is_predicted=is_predicted)
    return _detect_learned_positions(replace(stream, is_input=is_input, published_name=name), tensors)


def _token_stream(
    item: PublishedModality, name: str, ours: str, positions: int, vocab_size: int, *, is_predicted: bool
) -> TokenStream:
    if item.kind is GridStream:
        return GridStream(
            name=ours,
            num_tokens=positions,
            vocabulary=ours,
            vocab_size=vocab_size,
            grid=None if "_global" in item.name else _grid_side(name, positions),
            is_predicted=is_predicted,
        )
    return SequenceStream(
        name=ours,
        num_tokens=item.max_tokens,
        vocabulary=ours,
        vocab_size=vocab_size,
        chunk=item.chunk,
        keep=item.keep,
        num_positions=positions,
        is_predicted=is_predicted,
    )


def _detect_learned_positions(stream: Stream, tensors: TensorSource) -> Stream:
    """The stream with `learned_positions` set if a table of the checkpoint is not sines and cosines."""
    roles = [role for role, here in ((ENCODER, stream.is_input), (DECODER, stream.is_target)) if here]
    for role in roles:
        name = f"{role}.{stream.published_name}.pos_emb"
        shape_of(tensors, name)
        found = tensors[name][0].float()
        fixed = fixed_positions(stream, found.shape[1], len(found))
        if fixed is None or fixed.shape != found.shape or bool((found - fixed).abs().max() > SINCOS_TOLERANCE):
            return replace(stream, learned_positions=True)
    return stream


def _model(config: Mapping[str, Any], streams: tuple[Stream, ...], tensors: TensorSource) -> FourMConfig:
    norms = get_setting(config, "norm_bias", bool, default=True)
    attention = "encoder.0.attn" if "encoder.0.attn.qkv.weight" in tensors else "decoder.0.self_attn"
    block = attention.rpartition(".")[0]
    embedding = next((stream for stream in streams if isinstance(stream, EmbeddingStream)), None)
    return FourMConfig(
        size=Size.B,
        width=get_setting(config, "dim", int, default=768),
        heads=get_setting(config, "num_heads", int, default=12),
        encoder_depth=get_setting(config, "encoder_depth", int, default=12),
        decoder_depth=get_setting(config, "decoder_depth", int, default=12),
        mlp_ratio=float(config.get("mlp_ratio", 4.0)),
        gated=get_setting(config, "gated_mlp", bool, default=False),
        biases=BiasConfig(
            norms=norms,
            queries=f"{attention}.qkv.bias" in tensors,
            outputs=f"{attention}.proj.bias" in tensors,
            mlp=f"{block}.mlp.fc1.bias" in tensors,
            context="decoder_proj_context.bias" in tensors,
            embeddings=embedding is not None and f"{ENCODER}.{embedding.published_name}.emb_proj.bias" in tensors,
        ),
        qk_norm=get_setting(config, "qk_norm", bool, default=False),
        sharing=Sharing.decoder if _has_tied_heads(streams, tensors) else Sharing.none,
        shared_text=False,
        restrict_output_vocab=False,
        registers=get_setting(config, "num_register_tokens", int, default=0),
        shared_positions=False,
        shared_streams=_has_shared_stream_embeddings(streams, tensors),
    )


def _has_tied_heads(streams: tuple[Stream, ...], tensors: TensorSource) -> bool:
    """True if every head equals the decoder's token table, or one of the two is left out."""
    for stream in streams:
        if stream.is_target:
            table, head = (f"{DECODER}.{stream.published_name}.{part}.weight" for part in ("token_emb", "to_logits"))
            if table in tensors and head in tensors and not torch.equal(tensors[table], tensors[head]):
                return False
    return True


def _has_shared_stream_embeddings(streams: tuple[Stream, ...], tensors: TensorSource) -> bool:
    """True if encoder and decoder have the same stream embeddings."""
    for stream in streams:
        mine, other = (f"{role}.{stream.published_name}.mod_emb" for role in (ENCODER, DECODER))
        both = mine in tensors and other in tensors
        if both and not torch.equal(tensors[mine], tensors[other]):
            return False
    return True


def _grid_side(name: str, places: int) -> int:
    side = isqrt(places)
    if side**2 != places:
        raise CheckpointError(f"The checkpoint has {places} places of {name!r}; only square grids can be read.")
    return side
