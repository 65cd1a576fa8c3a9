"""Configuration of learned tokenizers. Their values and number of codes come from the modality."""

from dataclasses import dataclass, field
from enum import Enum

from modalities.errors import ConfigError


class EncoderKind(Enum):
    """Encoder of patches."""

    vit = "vit"
    """A transformer: each code depends on the whole image."""
    patch_mlp = "patch_mlp"
    """An MLP on each patch alone: codes are far easier to predict, at the cost of some fidelity."""


class DecoderKind(Enum):
    """Decoder from codes to values."""

    plain = "plain"
    """A transformer trained with the modality's own loss."""
    diffusion = "diffusion"
    """A denoising UNet for modalities for which the papers use one; a transformer for others."""


class CodebookKind(Enum):
    """Distance between latents and codes."""

    cosine = "cosine"
    euclidean = "euclidean"


class PredictionType(Enum):
    """Training target of the denoiser."""

    sample = "sample"
    """The clean value."""
    v = "v"
    """The velocity of Salimans & Ho 2022 (arXiv:2202.00512)."""
    noise = "noise"
    """The noise that was added (Ho et al. 2020, arXiv:2006.11239)."""


class NoiseSchedule(Enum):
    """Share of the signal over noise levels."""

    linear = "linear"
    """Ho et al. 2020 (arXiv:2006.11239), section 4."""
    cosine = "cosine"
    """Nichol & Dhariwal 2021 (arXiv:2102.09672), eq. 17."""


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The diffusion decoder; the defaults are the published ``unet_patched``."""

    patch: int = 4
    """Side of the squares of values that form one position of the UNet."""
    channels: int = 256
    """Channels at the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    """Channels of each level over ``channels``; each level after the first has half the side."""
    blocks: int = 3
    """Residual blocks per level."""
    attention: tuple[int, ...] = (4, 8)
    """Downsampling factors with self-attention."""
    heads: int = 1
    steps: int = 1000
    """Noise levels in training."""
    sampling_steps: int = 25
    """Denoising steps when decoding (DDIM)."""
    schedule: NoiseSchedule = NoiseSchedule.linear
    prediction: PredictionType = PredictionType.sample
    zero_terminal_snr: bool = True
    """True if the last noise level has no signal (arXiv:2305.08891)."""
    threshold: float = 0.995
    """Quantile of magnitudes for dynamic thresholding; 0 turns it off."""
    limit: float | None = None
    """Maximum magnitude after thresholding, in preprocessed units; None takes the quantile. Published: 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"diffusion.threshold must lie in 0..1, got {self.threshold}")
        if not 1 <= self.sampling_steps <= self.steps:
            raise ConfigError(f"diffusion.sampling_steps must lie in 1..{self.steps}, got {self.sampling_steps}")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        return {"limit": "diffusion.threshold=0 turns thresholding off"} if not self.threshold else {}


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Sizes and codebook of a learned tokenizer; the defaults are the published B sizes."""

    encoder: EncoderKind = EncoderKind.vit
    decoder: DecoderKind = DecoderKind.plain
    width: int = 768
    """Width of the transformers, and of the patch MLP's output."""
    heads: int = 12
    mlp_ratio: float = 4.0
    encoder_depth: int = 12
    """Transformer blocks of a ``vit`` encoder."""
    decoder_depth: int = 12
    """Transformer blocks of a ``plain`` decoder."""
    post_mlp: bool = True
    """True for a tanh MLP in fp32 behind the transformers' last block."""
    encoder_positions: int = 0
    """Side of the grid of the encoder's position table, which is resized for other grids; 0 for its own grid."""
    decoder_positions: int = 0
    """The same for the decoder."""
    learned_positions: bool = False
    """True for learned positions of the transformers, initialised by sines and cosines."""
    patch_hidden: tuple[int, ...] = (128, 128)
    """Hidden widths of a ``patch_mlp`` encoder."""
    class_width: int = 64
    """Width of the embedding of one pixel's class, for class maps."""
    output_convs: int = 0
    """ConvNeXt blocks behind a ``plain`` decoder; the published mask tokenizer has 2."""
    latent: int | None = None
    """Width of a code vector; None takes the modality's."""
    codebook: CodebookKind = CodebookKind.cosine
    ema_decay: float = 0.99
    """Decay of the codes' exponential averages per step."""
    revive_below: float = 1 / 32
    """Codes used less than this share of uniform usage are replaced by latents of the batch; 0 never replaces."""
    kmeans_init: bool = False
    """True to initialise codes by k-means of the first batch."""
    commitment: float = 1.0
    """Weight of the commitment loss."""
    rotation_trick: bool = False
    """True for the rotation trick in place of the straight-through estimator (arXiv:2410.06424)."""
    mlp_width: int = 1024
    """Width of the bottleneck MLP that tokenizes vectors; its hidden layers are four times as wide."""
    mlp_depth: int = 6
    """Residual blocks of the bottleneck MLP, in the encoder and again in the decoder."""
    mlp_latent: int = 1024
    """Width of a vector's latent, split over its product codes."""
    temperature: float = 1.0
    """Temperature of the Gumbel softmax that samples product codes in training."""
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 4:
            raise ConfigError(f"tokenizer.width must be a multiple of heads ({self.heads}) and of 4, got {self.width}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"tokenizer.ema_decay must lie in 0..1, 1 excluded, got {self.ema_decay}")
        if not 0 <= self.revive_below < 1:
            raise ConfigError(f"tokenizer.revive_below must lie in 0..1, 1 excluded, got {self.revive_below}")
        if self.temperature <= 0:
            raise ConfigError(f"tokenizer.temperature must be positive, got {self.temperature}")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        unused: dict[str, str] = {}
        match self.encoder:
            case EncoderKind.patch_mlp:
                reason = "tokenizer.encoder=patch_mlp has no transformer blocks"
                unused |= {"encoder_depth": reason, "encoder_positions": reason}
            case EncoderKind.vit:
                unused["patch_hidden"] = "tokenizer.encoder=vit has no patch MLP"
        if self.decoder is DecoderKind.plain:
            unused["diffusion"] = "tokenizer.decoder=plain has no denoiser"
        return unused

    @classmethod
    def nano(cls) -> "TokenizerConfig":
        """Sizes that one CPU core trains in 15 seconds at 64 x 64 pixels."""
        return cls(
            encoder=EncoderKind.patch_mlp,
            width=64,
            heads=2,
            decoder_depth=1,
            post_mlp=False,
            class_width=8,
            latent=16,
            codebook=CodebookKind.euclidean,
            ema_decay=0.9,
            revive_below=0.5,
            kmeans_init=True,
            commitment=0.1,
            mlp_width=128,
            mlp_depth=2,
            mlp_latent=128,
            diffusion=DiffusionConfig(channels=32, multipliers=(1, 2), blocks=1, attention=(2,), sampling_steps=10),
        )
