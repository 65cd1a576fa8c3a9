"""Task and config of a tokenizer from its published config and tensors."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from modalities.errors import CheckpointError
from modalities.layouts import Dense, Vector
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, TokenizerTask, ViTVQ
from networks.layers.positions import sincos_2d
from networks.pretrained.config_names import (
    PREDICTION_NAMES,
    SCHEDULE_NAMES,
    SINCOS_TOLERANCE,
    VIT_CUSTOM,
    VIT_CUSTOM_HEAD_WIDTH,
    VIT_PRESETS,
    inverse,
)
from networks.pretrained.source import TensorSource, get_setting, shape_of
from networks.tokenizers.config import CodebookKind, DecoderKind, DiffusionConfig, TokenizerConfig

PREDICTION_TYPES, NOISE_SCHEDULES = inverse(PREDICTION_NAMES), inverse(SCHEDULE_NAMES)


def read_tokenizer_layout(
    config: Mapping[str, Any], tensors: TensorSource, name: str, loss: ReconstructionLoss | None = None
) -> tuple[TokenizerTask, TokenizerConfig]:
    """Task and config of a published tokenizer.

    Args:
        name: Name of the tokenizer here.
        loss: The loss it was trained with, which the checkpoint lacks; None for the usual one of its kind.

    Raises:
        CheckpointError: The config has a setting that is not supported, or a tensor is missing.
    """
    _check_supported(config)
    if "MLP" in str(config.get("enc_type")):
        return _vector(config, tensors, name, loss)
    return _dense(config, tensors, name, loss)


def _check_supported(config: Mapping[str, Any]) -> None:
    is_mlp = "MLP" in str(config.get("enc_type"))
    patch = config.get("patch_size_dec") or config.get("patch_size")
    allowed: dict[str, tuple[Any, ...]] = {
        "undo_std": (False,),
        "quant_type": ("memcodes",) if is_mlp else ("lucid",),
        "conditioning": ("concat",),
        "patch_size": (patch,),
        "prediction_type": tuple(PREDICTION_TYPES),
        "beta_schedule": tuple(NOISE_SCHEDULES),
    }
    if not is_mlp:
        allowed["num_codebooks"] = (1,)
    for key, values in allowed.items():
        if key in config and config[key] not in values:
            expected = " or ".join(repr(value) for value in values)
            raise CheckpointError(f"The checkpoint's config has {key} = {config[key]!r}; {expected} can be read.")


def _vector(
    config: Mapping[str, Any], tensors: TensorSource, name: str, loss: ReconstructionLoss | None
) -> tuple[TokenizerTask, TokenizerConfig]:
    width, channels = shape_of(tensors, "encoder.linear_in.weight")
    parts, vocab_size, _ = shape_of(tensors, "quantize.codes")
    task = TokenizerTask(
        name=name,
        layout=Vector(channels=channels, num_tokens=parts),
        tokenizer=ProductMLP(name=name, vocab_size=vocab_size, loss=loss or ReconstructionLoss.cosine),
        members=(),
    )
    sizes = TokenizerConfig(
        mlp_width=width, mlp_depth=_depth(tensors, "encoder"), mlp_latent=get_setting(config, "latent_dim", int)
    )
    return task, sizes


def _dense(
    config: Mapping[str, Any], tensors: TensorSource, name: str, loss: ReconstructionLoss | None
) -> tuple[TokenizerTask, TokenizerConfig]:
    labels, patch = config.get("n_labels"), get_setting(config, "patch_size", int, default=16)
    channels = get_setting(config, "n_channels", int, default=3)
    uses_diffusion = str(config.get("dec_type", "vit_b_dec")).startswith("unet")
    kind = ReconstructionLoss.cross_entropy if labels else loss or ReconstructionLoss.mse
    layout = Dense(
        channels=labels or channels,
        size=get_setting(config, "image_size", int, default=224),
        patch=patch,
        categorical=bool(labels),
        pixels_per_value=1 if get_setting(config, "patch_proj", bool, default=True) else patch,
    )
    vocab_size, latent = shape_of(tensors, "quantize._codebook.embed")[-2:]
    spec = ViTVQ(name=name, vocab_size=vocab_size, latent=latent, loss=kind, has_diffusion_decoder=uses_diffusion)
    width = shape_of(tensors, "encoder.proj.weight")[0]
    norm_codes = get_setting(config, "norm_codes", bool, default=True)
    sizes = TokenizerConfig(
        width=width,
        heads=_heads(config, width),
        mlp_ratio=shape_of(tensors, "encoder.blocks.0.mlp.fc1.weight")[0] / width,
        encoder_depth=_depth(tensors, "encoder"),
        decoder_depth=0 if uses_diffusion else _depth(tensors, "decoder"),
        decoder=DecoderKind.diffusion if uses_diffusion else DecoderKind.plain,
        post_mlp=get_setting(config, "post_mlp", bool, default=False),
        encoder_positions=_positions(tensors, "encoder"),
        decoder_positions=0 if uses_diffusion else _positions(tensors, "decoder"),
        learned_positions=_has_learned_positions(tensors, "encoder")
        or (not uses_diffusion and _has_learned_positions(tensors, "decoder")),
        class_width=channels if labels else 64,
        output_convs=len({key.split(".")[2] for key in tensors if key.startswith("decoder.out_conv.")}),
        codebook=CodebookKind.cosine if norm_codes else CodebookKind.euclidean,
        ema_decay=float(config.get("ema_decay", 0.99)),
        commitment=float(config.get("commitment_weight", 1.0)),
        diffusion=_diffusion(config, tensors, channels) if uses_diffusion else DiffusionConfig(),
    )
    return TokenizerTask(name=name, layout=layout, tokenizer=spec, members=()), sizes


def _diffusion(config: Mapping[str, Any], tensors: TensorSource, channels: int) -> DiffusionConfig:
    """Config of the UNet, from its tensors."""
    width = shape_of(tensors, "decoder.input_blocks.0.0.weight")[0]
    widths: list[int] = [width]
    counts, attention, number = [0], set(), 1
    while f"decoder.input_blocks.{number}.0.op.weight" in tensors or _residual(number) in tensors:
        if _residual(number) in tensors:
            widths[-1] = shape_of(tensors, _residual(number))[0]
            counts[-1] += 1
            if f"decoder.input_blocks.{number}.1.qkv.weight" in tensors:
                attention.add(2 ** (len(counts) - 1))
        else:
            widths.append(widths[-1])
            counts.append(0)
        number += 1
    steps = get_setting(config, "num_train_timesteps", int, default=1000)
    return DiffusionConfig(
        patch=isqrt(shape_of(tensors, "decoder.out.2.weight")[0] // channels),
        channels=width,
        multipliers=tuple(item // width for item in widths),
        blocks=counts[0],
        attention=tuple(sorted(attention)),
        heads=1,
        steps=steps,
        sampling_steps=min(25, steps),
        schedule=NOISE_SCHEDULES[config.get("beta_schedule", "squaredcos_cap_v2")],
        prediction=PREDICTION_TYPES[config.get("prediction_type", "v_prediction")],
        zero_terminal_snr=get_setting(config, "zero_terminal_snr", bool, default=True),
        threshold=0.995
        if get_setting(config, "thresholding", bool, default=True) or config.get("clip_sample")
        else 0.0,
        limit=1.0,
    )


def _residual(number: int) -> str:
    return f"decoder.input_blocks.{number}.0.in_layers.2.weight"


def _depth(tensors: TensorSource, part: str) -> int:
    return len({name.split(".")[2] for name in tensors if name.startswith(f"{part}.blocks.")})


def _heads(config: Mapping[str, Any], width: int) -> int:
    name = str(config.get("enc_type", "vit_b_enc"))
    preset = name.removesuffix("_enc")
    if preset in VIT_PRESETS:
        return VIT_PRESETS[preset].heads
    if preset != VIT_CUSTOM or width % VIT_CUSTOM_HEAD_WIDTH:
        raise CheckpointError(f"The checkpoint's config has enc_type = {name!r}; {', '.join(VIT_PRESETS)} can be read.")
    return width // VIT_CUSTOM_HEAD_WIDTH


def _positions(tensors: TensorSource, part: str) -> int:
    _, _, height, width = shape_of(tensors, f"{part}.pos_emb")
    if height != width:
        raise CheckpointError(
            f"The checkpoint's {part} was trained on {height} x {width} patches; it must be a square."
        )
    return height


def _has_learned_positions(tensors: TensorSource, part: str) -> bool:
    """True if positions are not the sines and cosines of their grid."""
    found = tensors[f"{part}.pos_emb"][0].float().flatten(1).T
    fixed = sincos_2d(_positions(tensors, part), found.shape[1])
    return bool((found - fixed).abs().max() > SINCOS_TOLERANCE)
