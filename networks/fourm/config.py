"""Configuration of the 4M model: the published sizes, and deviations from them."""

from dataclasses import dataclass
from enum import Enum

from modalities.errors import ConfigError
from networks.layers.blocks import BiasConfig, BlockConfig


class Size(Enum):
    """The published sizes, and a smaller one for a laptop's CPU."""

    nano = "nano"
    tiny = "tiny"
    small = "small"
    B = "B"
    L = "L"
    XL = "XL"


SHAPES = {
    Size.nano: (64, 2, 3, 2),
    Size.tiny: (384, 6, 6, 6),
    Size.small: (512, 8, 8, 8),
    Size.B: (768, 12, 12, 12),
    Size.L: (1024, 16, 24, 24),
    Size.XL: (2048, 32, 24, 24),
}
"""Width, heads, encoder depth and decoder depth of each size."""


class Sharing(Enum):
    """Token tables that share their weights."""

    all = "all"
    """Encoder inputs, decoder inputs and heads."""
    decoder = "decoder"
    """Decoder inputs and heads, as in the papers' tied models."""
    none = "none"
    """Three tables, as in the released checkpoints."""


class Init(Enum):
    """Initial weights."""

    published = "published"
    """Xavier uniform, embeddings of standard deviation 0.02."""
    local = "local"
    """Cross-attention that starts at its own position, so that a small model leaves the positional marginal early."""


class LossReduction(Enum):
    """Average of the cross-entropies of a batch."""

    modality = "modality"
    """Mean over modalities of the mean over their targets, as in the papers."""
    token = "token"
    """Mean over all targets."""
    published_modality = "published_modality"
    """As the published code: like `modality`, but a modality without a target in the batch counts as 0."""
    published_token = "published_token"
    """As the published code: mean over all targets, weighted by the size of their vocabulary."""


@dataclass(frozen=True, kw_only=True)
class FourMConfig:
    """Architecture of the model. The defaults are the papers' SwiGLU models without biases."""

    size: Size = Size.B
    """Width, heads, encoder and decoder depth in one word."""
    width: int | None = None
    """Overrides the size's width."""
    heads: int | None = None
    """Overrides the size's number of heads."""
    encoder_depth: int | None = None
    """Overrides the size's encoder depth."""
    decoder_depth: int | None = None
    """Overrides the size's decoder depth."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLP over the model's width, before the two thirds of a gated one."""
    gated: bool = True
    """True for SwiGLU, False for GELU."""
    bias: bool = False
    """Biases everywhere: norms, attention, MLP, context and embedding projections."""
    biases: BiasConfig | None = None
    """Biases one by one, in place of `bias`; published models have only some."""
    qk_norm: bool = False
    """True to normalise each head's queries and keys."""
    sharing: Sharing = Sharing.decoder
    """Token tables that share their weights."""
    shared_text: bool = True
    """True for one table and one head for all sequences; false gives each its own, as published models have."""
    restrict_output_vocab: bool = True
    """True where the heads of sequences choose only among the ids that occur in their training data."""
    registers: int = 0
    """Learned tokens in front of the encoder's input."""
    init: Init = Init.published
    """Initial weights."""
    deep_stem: bool = False
    """True for a residual MLP beside the linear patch projection."""
    position_scale: float = 1.0
    """Factor on the fixed position embeddings."""
    max_period: float = 10_000.0
    """Longest wavelength of the grid's position embeddings, over 2 pi, in patches."""
    learned_positions: bool = False
    """True for learned positions in place of sines and cosines."""
    shared_positions: bool = True
    """One table of learned positions for encoder and decoder; published models have two."""
    shared_streams: bool = True
    """One stream embedding for encoder and decoder, as in published models."""
    loss_reduction: LossReduction = LossReduction.modality
    """Average over the targets of a batch."""

    def __post_init__(self) -> None:
        width, heads, *depths = self.shape
        if min(width, heads) < 1 or min(depths) < 0:
            raise ConfigError(
                f"model.width and model.heads must be positive and depths not negative, got {self.shape}."
            )
        if width % heads or width % 4:
            raise ConfigError(f"model.width must be a multiple of model.heads and of 4, got {width} and {heads}.")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        unused: dict[str, str] = {}
        if None not in (self.width, self.heads, self.encoder_depth, self.decoder_depth):
            unused["size"] = "model.width, heads, encoder_depth and decoder_depth override all of it"
        if self.biases is not None:
            unused["bias"] = "model.biases says which parts have biases"
        if self.learned_positions:
            unused |= dict.fromkeys(
                ("position_scale", "max_period"), "model.learned_positions=true replaces the fixed position codes"
            )
        else:
            unused["shared_positions"] = "position codes are fixed and alike on both sides; see model.learned_positions"
        if not self.shared_streams:
            unused["shared_positions"] = "model.shared_streams=false keeps all position tables apart"
        return unused

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Width, heads, encoder depth, decoder depth."""
        width, heads, encoder, decoder = SHAPES[self.size]
        return (
            self.width or width,
            self.heads or heads,
            encoder if self.encoder_depth is None else self.encoder_depth,
            decoder if self.decoder_depth is None else self.decoder_depth,
        )

    @property
    def block(self) -> BlockConfig:
        """The config of one block."""
        width, heads, _, _ = self.shape
        return BlockConfig(
            width=width,
            heads=heads,
            mlp_ratio=self.mlp_ratio,
            gated=self.gated,
            biases=self.resolved_biases,
            qk_norm=self.qk_norm,
        )

    @property
    def resolved_biases(self) -> BiasConfig:
        """Biases of each part."""
        if self.biases is not None:
            return self.biases
        return BiasConfig.all_enabled() if self.bias else BiasConfig()
