"""Construction of tokenizers from task and config."""

from typing import assert_never

from modalities.errors import ConfigError
from modalities.layouts import Dense, Vector
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.config import DecoderKind, TokenizerConfig
from networks.tokenizers.dense import DiffusionTokenizer, ViTDecoderTokenizer
from networks.tokenizers.tokenizer import Tokenizer
from networks.tokenizers.vector import VectorTokenizer


def uses_diffusion(task: TokenizerTask, config: TokenizerConfig) -> bool:
    """True if the config selects a diffusion decoder and the papers have one for this tokenizer."""
    return (
        config.decoder is DecoderKind.diffusion
        and isinstance(task.tokenizer, ViTVQ)
        and task.tokenizer.has_diffusion_decoder
    )


def build_tokenizer(task: TokenizerTask, config: TokenizerConfig) -> Tokenizer:
    """An untrained tokenizer for ``task``.

    Raises:
        ConfigError: Layout and tokenizer do not fit, or sizes do not divide.
    """
    match task.tokenizer, task.layout:
        case ViTVQ() as spec, Dense() as layout:
            if layout.categorical != (spec.loss is ReconstructionLoss.cross_entropy):
                raise ConfigError(f"Tokenizer {task.name!r}: cross_entropy goes with class maps, and only with them.")
            if uses_diffusion(task, config):
                return DiffusionTokenizer(layout, spec, config)
            return ViTDecoderTokenizer(layout, spec, config)
        case ProductMLP() as spec, Vector() as layout:
            return VectorTokenizer(
                channels=layout.channels,
                num_tokens=layout.num_tokens,
                vocab_size=spec.vocab_size,
                loss=spec.loss,
                config=config,
            )
        case ((ViTVQ() | ProductMLP()), (Dense() | Vector())):
            raise ConfigError(
                f"Tokenizer {task.name!r}: {type(task.tokenizer).__name__} cannot read a {type(task.layout).__name__}."
            )
        case _ as unreachable:
            assert_never(unreachable)
