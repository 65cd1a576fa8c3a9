"""The plain form that speed is compared with computes the same function."""

from typing import cast

import torch
from torch import nn

from benchmarks.plain import PlainFourM, plain_batch
from benchmarks.samples import random_samples
from modalities.mixtures import Mixture
from networks.fourm.config import FourMConfig
from networks.fourm.embedding import InputProjection
from networks.fourm.model import FourM
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, TokenStream

STREAMS = (
    PixelStream(name="rgb_pixels", num_tokens=9, channels=12, grid=3, patch=2),
    GridStream(name="depth", num_tokens=9, vocabulary="depth", vocab_size=60, grid=3),
    GridStream(name="code", num_tokens=4, vocabulary="code", vocab_size=70),
    SequenceStream(name="caption", num_tokens=14, vocabulary="caption", vocab_size=600),
    SequenceStream(name="bounding_boxes", num_tokens=9, vocabulary="boxes", vocab_size=600),
    EmbeddingStream(name="t5_caption", num_tokens=5, channels=3),
)


def copy_weights(plain: PlainFourM, ours: FourM) -> None:
    """Give the plain form our weights."""
    with torch.no_grad():
        for number, stream in enumerate(STREAMS):
            plain.stream[stream.name].copy_(ours.position_embedding.stream[number])
            if isinstance(stream, TokenStream):
                cast(nn.Embedding, plain.tables[stream.name]).weight.copy_(
                    ours.tokens.vocabulary_rows(stream.vocabulary)
                )
                cast(nn.Embedding, plain.heads[stream.name]).weight.copy_(ours.heads.vocabulary_rows(stream.vocabulary))
            else:
                cast(nn.Linear, plain.input_projections[stream.name]).weight.copy_(
                    cast(InputProjection, ours.input_projections[stream.name]).linear.weight
                )
        assert ours.position_embedding.learned is not None
        plain.learned["code"].copy_(ours.position_embedding.learned[1:])
        plain.mask_token.copy_(ours.mask_token)
        plain.context_projection.weight.copy_(ours.context_projection.weight)
        for mine, block in zip([*plain.encoder, *plain.decoder], [*ours.encoder, *ours.decoder], strict=True):
            query, key_value = block.attention.qkv.weight.split([16, 32])
            mine.attention.query.weight.copy_(query)
            mine.attention.key_value.weight.copy_(key_value)
            mine.attention.out.weight.copy_(block.attention.out.weight)
            gate, up = block.mlp.up.weight.chunk(2)
            mine.mlp.gate.weight.copy_(gate)
            mine.mlp.up.weight.copy_(up)
            mine.mlp.down.weight.copy_(block.mlp.down.weight)
            if mine.cross is not None:
                for name in ("query", "key_value", "out"):
                    getattr(mine.cross, name).weight.copy_(getattr(block.cross, name).weight)


def test_the_plain_form_has_the_same_loss() -> None:
    torch.manual_seed(0)
    config = FourMConfig(width=16, heads=2, encoder_depth=2, decoder_depth=2)
    ours, plain = FourM(STREAMS, config), PlainFourM(STREAMS, config, 24, 28)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for module in ours.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        for table in (ours.tokens, ours.heads):
            table.table[-1].zero_()
        assert ours.position_embedding.learned is not None
        ours.position_embedding.learned[0].zero_()
    copy_weights(plain, ours)
    masking = MaskingConfig(num_inputs=24, num_targets=28, mixtures=[Mixture(input_alpha=1.0, target_alpha=1.0)])
    samples = random_samples(STREAMS, 16, missing=0.2)
    batch = Masker(STREAMS, masking)(samples, torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(plain_batch(samples, batch, STREAMS)), ours(batch).loss, atol=1e-4, rtol=1e-4)
