"""Tokenizers in the published format, and which do not fit it."""

from dataclasses import dataclass

import pytest
import torch

from modalities.errors import CheckpointError
from modalities.layouts import Dense
from modalities.tokenizer_specs import ReconstructionLoss, TokenizerTask, ViTVQ
from networks.pretrained.tokenizer_weights import export_tokenizer
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig

CONFIG = TokenizerConfig(width=32, heads=2, encoder_depth=1, decoder_depth=1, latent=8)


@dataclass(frozen=True, kw_only=True)
class Lattice(ViTVQ):
    """A family that the published code does not have."""


def task(family: type[ViTVQ]) -> TokenizerTask:
    """A tokenizer of maps of 8 x 8 values in 4 tokens."""
    spec = family(name="heat", vocab_size=16, loss=ReconstructionLoss.mse)
    return TokenizerTask(name="heat", layout=Dense(channels=1, size=8, patch=4), tokenizer=spec)


def test_a_family_that_the_format_does_not_have_is_refused() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(task(ViTVQ), CONFIG)
    assert "quantize._codebook.embed" in export_tokenizer(tokenizer, task(ViTVQ), CONFIG)
    with pytest.raises(CheckpointError, match="no place for tokenizer 'heat', a Lattice; expected one of ViTVQ"):
        export_tokenizer(tokenizer, task(Lattice), CONFIG)
