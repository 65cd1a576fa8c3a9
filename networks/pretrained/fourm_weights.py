"""Published names of a 4M model's weights, in one mapping for both directions: views into our tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from modalities.errors import CheckpointError
from networks.fourm.config import FourMConfig
from networks.fourm.embedding import position_table_size, vocabulary_ranges
from networks.fourm.model import FourM
from networks.layers.positions import sincos_1d
from networks.pretrained.config_names import SINCOS_TOLERANCE
from networks.pretrained.fourm_layout import DECODER, ENCODER
from networks.pretrained.names import published_stream_name
from networks.pretrained.source import InMemoryTensors, TensorSource, check_tensor_names, copy_into_view
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, TokenStream, token_stream

NUM_SEQUENCE_POSITIONS = 512
"""Rows of the published position tables of sequences."""

MODEL_PARTS = {
    "encoder_norm": "encoder_norm",
    "decoder_norm": "decoder_norm",
    "decoder_proj_context": "context_projection",
}
"""Our name of each published part of a model."""

ENCODER_PARTS = {
    "norm1": "attention_norm",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "attn.q_norm": "attention.norms.query",
    "attn.k_norm": "attention.norms.key",
    "norm2": "mlp_norm",
    "mlp.fc2": "mlp.down",
}
"""Our name of each published part of an encoder block, except the MLP's first layers."""

DECODER_PARTS = {
    "norm1": "attention_norm",
    "self_attn.qkv": "attention.qkv",
    "self_attn.proj": "attention.out",
    "self_attn.q_norm": "attention.norms.query",
    "self_attn.k_norm": "attention.norms.key",
    "query_norm": "query_norm",
    "context_norm": "context_norm",
    "cross_attn.q": "cross.query",
    "cross_attn.kv": "cross.key_value",
    "cross_attn.proj": "cross.out",
    "cross_attn.q_norm": "cross.norms.query",
    "cross_attn.k_norm": "cross.norms.key",
    "norm2": "mlp_norm",
    "mlp.fc2": "mlp.down",
}
"""Our name of each published part of a decoder block, except the MLP's first layers."""


def published_views(
    streams: tuple[Stream, ...], config: FourMConfig, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Views of ``tensors`` under their published names; writing into a view writes into its tensor.

    Args:
        tensors: Parameters or gradients by our names, tied ones under each of their names. Missing ones have no view.
    """
    return _NameMapping(streams=streams, config=config, tensors=tensors).views()


def load_fourm(streams: tuple[Stream, ...], config: FourMConfig, tensors: TensorSource) -> FourM:
    """A model with the weights of a published checkpoint, which are read one at a time.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape; the message names it.
    """
    model = FourM(streams, config, initialized=False)
    views = published_views(streams, config, _parameters(model))
    constants = _constants(model, views)
    needed = set(views) - _omitted_tied(views, tensors)
    check_tensor_names(needed, {*views, *constants}, tensors)
    filled: dict[int, str] = {}
    for name in sorted(needed):
        first = filled.setdefault(views[name].data_ptr(), name)
        if first == name:
            copy_into_view(views, tensors, name)
        else:
            _expect_equal(name, tensors[name], views[name], within=0.0)
    for name in constants:
        if name in tensors:
            _expect_equal(name, tensors[name], constants[name], within=SINCOS_TOLERANCE)
    return model


def export_fourm(model: FourM) -> InMemoryTensors:
    """A model's tensors under their published names. Heads are exported with all ids, `Stream.predictable` or not.

    Raises:
        CheckpointError: The format has no place for a setting of the model; the message names it.
    """
    unsupported = unsupported_settings(model.config)
    if unsupported:
        raise CheckpointError(f"The model cannot be exported: {' '.join(unsupported)}")
    views = published_views(model.streams, model.config, _parameters(model))
    return InMemoryTensors({**_constants(model, views), **views})


def unsupported_settings(config: FourMConfig) -> list[str]:
    """One sentence for each setting that the published format has no place for."""
    return ["The published format has no place for model.deep_stem; set it to false."] if config.deep_stem else []


def export_config(model: FourM) -> dict[str, object]:
    """The published config of a model."""
    config, biases = model.config, model.config.resolved_biases
    width, heads, encoder, decoder = config.shape
    return {
        "domains_in": [published_stream_name(stream) for stream in model.streams if stream.is_input],
        "domains_out": [published_stream_name(stream) for stream in model.streams if stream.is_target],
        "image_size": max((image_size(stream) for stream in model.streams), default=0) or 224,
        "patch_size": next((stream.patch for stream in model.streams if isinstance(stream, PixelStream)), 16),
        "dim": width,
        "encoder_depth": encoder,
        "decoder_depth": decoder,
        "num_heads": heads,
        "mlp_ratio": config.mlp_ratio,
        "act_layer": "SiLU" if config.gated else "GELU",
        "gated_mlp": config.gated,
        "qk_norm": config.qk_norm,
        "num_register_tokens": config.registers,
        "share_modality_embeddings": config.shared_streams,
        "norm_bias": biases.norms,
        "qkv_bias": biases.queries,
        "proj_bias": biases.outputs,
        "mlp_bias": biases.mlp,
    }


def image_size(stream: Stream) -> int:
    """Side of the image in pixels, at 16 to a token where the stream has no patches; 0 for streams without a grid."""
    match stream:
        case PixelStream():
            return stream.grid * stream.patch
        case GridStream():
            return (stream.grid or 0) * 16
        case SequenceStream() | EmbeddingStream():
            return 0
        case _:
            assert_never(stream)


@dataclass(frozen=True, kw_only=True)
class _NameMapping:
    """Published names of one model's tensors."""

    streams: tuple[Stream, ...]
    config: FourMConfig
    tensors: Mapping[str, Tensor]

    def views(self) -> dict[str, Tensor]:
        """All views."""
        _, _, encoder, decoder = self.config.shape
        found = {**self._weight_and_bias_views("", "", MODEL_PARTS), **self._view("mask_token", "mask_token", lead=2)}
        found |= self._view("register_tokens", "registers", lead=1)
        for number in range(encoder):
            found |= self._block_views(f"encoder.{number}.", ENCODER_PARTS)
        for number in range(decoder):
            found |= self._block_views(f"decoder.{number}.", DECODER_PARTS)
        for number, stream in enumerate(self.streams):
            if stream.is_input:
                found |= self._encoder_embedding(number, stream)
            if stream.is_target:
                found |= self._decoder_embedding(number, token_stream(stream))
        return found

    def _view(self, name: str, ours: str, lead: int = 0) -> dict[str, Tensor]:
        """One tensor, with ``lead`` axes of length 1 before it."""
        return {name: self.tensors[ours][(None,) * lead]} if ours in self.tensors else {}

    def _weight_and_bias_views(self, prefix: str, ours: str, parts: Mapping[str, str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, own in parts.items():
            for part in ("weight", "bias"):
                found |= self._view(f"{prefix}{name}.{part}", f"{ours}{own}.{part}")
        return found

    def _block_views(self, prefix: str, parts: Mapping[str, str]) -> dict[str, Tensor]:
        found = self._weight_and_bias_views(prefix, prefix, parts)
        for part in ("weight", "bias"):
            up = self.tensors.get(f"{prefix}mlp.up.{part}")
            if up is None:
                continue
            names = ("mlp.fc1", "mlp.fc3") if self.config.gated else ("mlp.fc1",)
            found |= {f"{prefix}{name}.{part}": half for name, half in zip(names, up.chunk(len(names)), strict=True)}
        return found

    def _encoder_embedding(self, number: int, stream: Stream) -> dict[str, Tensor]:
        prefix = f"{ENCODER}.{published_stream_name(stream)}."
        found = self._position_views(prefix, number, "position_embedding")
        stem = f"input_projections.{stream.name}.linear"
        match stream:
            case PixelStream():
                return found | self._view(f"{prefix}proj.weight", f"{stem}.weight")
            case EmbeddingStream():
                return found | self._weight_and_bias_views(prefix, "", {"emb_proj": stem})
            case GridStream() | SequenceStream():
                return found | self._vocabulary_view(f"{prefix}token_emb.weight", stream, "tokens.table")
            case _:
                assert_never(stream)

    def _decoder_embedding(self, number: int, stream: TokenStream) -> dict[str, Tensor]:
        prefix = f"{DECODER}.{published_stream_name(stream)}."
        return {
            **self._position_views(prefix, number, "decoder_position_embedding"),
            **self._vocabulary_view(f"{prefix}token_emb.weight", stream, "decoder_token_embedding.table"),
            **self._vocabulary_view(f"{prefix}to_logits.weight", stream, "heads.table"),
        }

    def _vocabulary_view(self, name: str, stream: TokenStream, table: str) -> dict[str, Tensor]:
        if table not in self.tensors:
            return {}
        first, size = vocabulary_ranges(self.streams)[0][stream.vocabulary]
        return {name: self.tensors[table][first : first + size]}

    def _position_views(self, prefix: str, number: int, ours: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        codes, learned = self.tensors.get(f"{ours}.stream"), self.tensors.get(f"{ours}.learned")
        if codes is not None:
            found[f"{prefix}mod_emb"] = codes[number][None, None]
        if learned is not None and self._has_learned_positions(self.streams[number]):
            before = [position_table_size(item) for item in self.streams[:number] if self._has_learned_positions(item)]
            # Row 0 is for streams with fixed positions.
            start = 1 + sum(before)
            found[f"{prefix}pos_emb"] = learned[start : start + position_table_size(self.streams[number])][None]
        return found

    def _has_learned_positions(self, stream: Stream) -> bool:
        return self.config.learned_positions or stream.has_learned_positions


def _parameters(model: FourM) -> dict[str, Tensor]:
    """A model's parameters, tied ones under each of their names."""
    return {name: value.detach() for name, value in model.named_parameters(remove_duplicate=False)}


def _constants(model: FourM, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the published format that are constants here: fixed positions, and zero biases of norms."""
    found: dict[str, Tensor] = {}
    for number, stream in enumerate(model.streams):
        name, start = published_stream_name(stream), int(model.position_embedding.first[number])
        table = model.position_embedding.fixed[start : start + position_table_size(stream)]
        if isinstance(stream, SequenceStream | EmbeddingStream) and not stream.num_positions:
            table = sincos_1d(max(NUM_SEQUENCE_POSITIONS, len(table)), table.shape[1]) * model.config.position_scale
        for role, here in ((ENCODER, stream.is_input), (DECODER, stream.is_target)):
            if here and f"{role}.{name}.pos_emb" not in views:
                found[f"{role}.{name}.pos_emb"] = table[None]
    if not model.config.resolved_biases.norms:
        norms = [name for name in views if name.endswith(".weight") and "norm" in name.split(".")[-2]]
        found |= {name.removesuffix("weight") + "bias": torch.zeros(views[name].shape[0]) for name in norms}
    return found


def _omitted_tied(views: Mapping[str, Tensor], tensors: TensorSource) -> set[str]:
    """Names that a checkpoint may omit because it has the same weight under another name."""
    names: dict[int, list[str]] = {}
    for name, view in views.items():
        names.setdefault(view.data_ptr(), []).append(name)
    tied = [group for group in names.values() if any(name in tensors for name in group)]
    return {name for group in tied for name in group if name not in tensors}


def _expect_equal(name: str, found: Tensor, expected: Tensor, *, within: float) -> None:
    if found.shape != expected.shape:
        raise CheckpointError(f"The tensor {name!r} has shape {tuple(found.shape)}, expected {tuple(expected.shape)}.")
    worst = float((found.to(expected.dtype) - expected).abs().max()) if found.numel() else 0.0
    if worst > within:
        raise CheckpointError(
            f"The tensor {name!r} differs by {worst:.2g} from what the checkpoint's other tensors and config make it."
        )
