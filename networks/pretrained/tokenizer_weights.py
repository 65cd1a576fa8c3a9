"""Published names and shapes of a tokenizer's weights, in one table for both directions."""

import re
from collections.abc import Mapping

from torch import Tensor

from modalities.errors import CheckpointError
from modalities.layouts import Dense, Vector
from modalities.tokenizer_specs import ProductMLP, TokenizerTask, ViTVQ
from networks.pretrained.config_names import PREDICTION_NAMES, SCHEDULE_NAMES, vit_preset_of
from networks.pretrained.source import InMemoryTensors, TensorSource, check_tensor_names
from networks.tokenizers.build import build_tokenizer, uses_diffusion
from networks.tokenizers.config import CodebookKind, EncoderKind, TokenizerConfig
from networks.tokenizers.tokenizer import Tokenizer

PUBLISHED_FAMILIES = (ViTVQ, ProductMLP)
"""Families of tokenizers that the published format can hold."""

SHARED_RULES = [
    (r"^classes\.table\.", "cls_emb."),
    (r"^to_latents\.", "quant_proj."),
    (r"^codebook\.quantize\.", "quantize."),
    (r"^encoder\.0\.", "encoder.proj."),
    (r"^encoder\.1\.positions$", "encoder.pos_emb"),
    (r"^encoder\.1\.", "encoder."),
    (r"\.attention_norm\.", ".norm1."),
    (r"\.attention\.qkv\.", ".attn.qkv."),
    (r"\.attention\.out\.", ".attn.proj."),
    (r"\.mlp_norm\.", ".norm2."),
    (r"\.mlp\.up\.", ".mlp.fc1."),
    (r"\.mlp\.down\.", ".mlp.fc2."),
    (r"\.post\.norm\.", ".norm_mlp."),
    (r"\.post\.up\.", ".post_mlp.fc1."),
    (r"\.post\.down\.", ".post_mlp.fc2."),
]
"""Patterns of our names and the published replacements, applied in order: transformer encoder and codebook."""

VIT_DECODER_RULES = [
    *SHARED_RULES,
    (r"^decoder\.from_codes\.", "post_quant_proj."),
    (r"^decoder\.to_patches\.", "decoder.out_proj."),
    (r"^decoder\.convs\.", "decoder.out_conv."),
    (r"^decoder\.vit\.positions$", "decoder.pos_emb"),
    (r"^decoder\.vit\.", "decoder."),
    (r"\.depthwise\.", ".dwconv."),
    (r"^(decoder\.out_conv\.\d+)\.up\.", r"\1.pwconv1."),
    (r"^(decoder\.out_conv\.\d+)\.down\.", r"\1.pwconv2."),
    (r"^(decoder\.out_conv\.\d+)\.scale$", r"\1.gamma"),
]
"""The same with a transformer decoder."""

UNET_RULES = [
    (r"^decoder\.unet\.read\.", "decoder.input_blocks.0.0."),
    (r"^decoder\.unet\.down\.(\d+)\.conv\.", r"decoder.input_blocks.\1.0.op."),
    (r"^decoder\.unet\.down\.(\d+)\.residual\.", r"decoder.input_blocks.\1.0."),
    (r"^decoder\.unet\.down\.(\d+)\.attention\.", r"decoder.input_blocks.\1.1."),
    (r"^decoder\.unet\.middle\.0\.residual\.", "decoder.middle_block.0."),
    (r"^decoder\.unet\.middle\.0\.attention\.", "decoder.middle_block.1."),
    (r"^decoder\.unet\.middle\.1\.residual\.", "decoder.middle_block.2."),
    (r"^decoder\.unet\.up\.(\d+)\.residual\.", r"decoder.output_blocks.\1.0."),
    (r"^decoder\.unet\.up\.(\d+)\.attention\.", r"decoder.output_blocks.\1.1."),
    (r"^decoder\.unet\.write\.", "decoder.out."),
    (r"^decoder\.unet\.time\.", "decoder.time_embed."),
    (r"^(decoder\..*_blocks?\..*)\.first\.", r"\1.in_layers."),
    (r"^(decoder\..*_blocks?\..*)\.second\.2\.", r"\1.out_layers.3."),
    (r"^(decoder\..*_blocks?\..*)\.second\.0\.", r"\1.out_layers.0."),
    (r"^(decoder\..*_blocks?\..*)\.code\.", r"\1.emb_layers."),
    (r"^(decoder\..*_blocks?\..*)\.skip\.", r"\1.skip_connection."),
    (r"^(decoder\..*_blocks?\..*)\.out\.", r"\1.proj_out."),
]
"""A UNet decoder."""

VECTOR_RULES = [
    (r"^encoder\.1\.", "quant_proj."),
    (r"^decoder\.0\.", "post_quant_proj."),
    (r"^(encoder)\.0\.|^(decoder)\.1\.", r"\1\2."),
    (r"\.read\.", ".linear_in."),
    (r"\.write\.", ".linear_out."),
    (r"\.blocks\.(\d+)\.0\.", r".layernorms.\1."),
    (r"\.blocks\.(\d+)\.1\.", r".blocks.\1.block.0."),
    (r"\.blocks\.(\d+)\.3\.", r".blocks.\1.block.2."),
    (r"^memcodes\.to_keys", "quantize.to_k.weight"),
    (r"^memcodes\.to_values", "quantize.to_v.weight"),
    (r"^memcodes\.codes", "quantize.codes"),
]
"""A bottleneck MLP with product codes."""


def published_tokenizer_names(tokenizer: Tokenizer, task: TokenizerTask, config: TokenizerConfig) -> dict[str, str]:
    """The published name of each tensor of a tokenizer, by our name."""
    if isinstance(task.layout, Vector):
        rules = VECTOR_RULES
    elif uses_diffusion(task, config):
        rules = [*UNET_RULES, *SHARED_RULES]
    else:
        rules = VIT_DECODER_RULES
    ours = list(tokenizer.state_dict())
    return {name: _published_name(name, rules, set(ours)) for name in ours}


def load_tokenizer_weights(tokenizer: Tokenizer, names: Mapping[str, str], tensors: TensorSource) -> None:
    """Fill a tokenizer with published weights.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape; the message names it.
    """
    # The running sums of codes are published for Euclidean codes only.
    optional = {name for name in names.values() if name.endswith(("embed_avg", "cluster_size", "initted"))}
    optional |= {"encoder.pos_emb", "decoder.pos_emb"} - set(names.values())
    check_tensor_names(set(names.values()) - optional, {*names.values(), *optional}, tensors)
    state = tokenizer.state_dict()
    for ours, theirs in names.items():
        if theirs in tensors:
            _copy_tensor(state[ours], tensors, theirs)
    average = "codebook.quantize._codebook.embed_avg"
    if average in state:
        _seed_averages(state, tensors, names[average])


def import_tokenizer(task: TokenizerTask, config: TokenizerConfig, tensors: TensorSource) -> Tokenizer:
    """A tokenizer with the weights of a published checkpoint.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape; the message names it.
    """
    tokenizer = build_tokenizer(task, config)
    load_tokenizer_weights(tokenizer, published_tokenizer_names(tokenizer, task, config), tensors)
    return tokenizer.eval()


def export_tokenizer(tokenizer: Tokenizer, task: TokenizerTask, config: TokenizerConfig) -> InMemoryTensors:
    """A tokenizer's tensors under their published names and in their published shapes.

    Raises:
        CheckpointError: The format cannot hold the tokenizer; the message says why.
    """
    if type(task.tokenizer) not in PUBLISHED_FAMILIES:
        raise CheckpointError(
            f"The published format has no place for tokenizer {task.name!r}, a {type(task.tokenizer).__name__}; "
            f"expected one of {', '.join(family.__name__ for family in PUBLISHED_FAMILIES)}."
        )
    if isinstance(task.layout, Dense) and config.encoder is EncoderKind.patch_mlp:
        raise CheckpointError(
            f"The published format has no place for the encoder of tokenizer {task.name!r}, an MLP on each patch; "
            "train with tokenizer.encoder=vit."
        )
    state, out = tokenizer.state_dict(), InMemoryTensors()
    for ours, theirs in published_tokenizer_names(tokenizer, task, config).items():
        if theirs.endswith("embed_avg") and config.codebook is CodebookKind.cosine:
            continue
        out[theirs] = _in_published_shape(theirs, state[ours], task)
    for part in ("encoder", "decoder.vit"):
        module = dict(tokenizer.named_modules()).get("encoder.1" if part == "encoder" else part)
        positions = getattr(module, "positions", None)
        if isinstance(positions, Tensor):
            name = f"{part.partition('.')[0]}.pos_emb"
            out[name] = _as_image(positions.detach())
    return out


def export_tokenizer_config(task: TokenizerTask, config: TokenizerConfig) -> dict[str, object]:
    """The published config of a tokenizer."""
    shared = {"sync_codebook": False, "ema_decay": config.ema_decay, "commitment_weight": config.commitment}
    layout, vocab_size = task.layout, task.tokenizer.vocab_size
    if isinstance(layout, Vector):
        name = f"BottleneckMLP/B_{config.mlp_depth}-Wi_{config.mlp_width}"
        sizes = {"image_size": 1, "patch_size": 1, "n_channels": layout.channels, "enc_type": name, "dec_type": name}
        codes = {"quant_type": "memcodes", "codebook_size": vocab_size, "num_codebooks": layout.num_tokens}
        return {**shared, **sizes, **codes, "latent_dim": config.mlp_latent}
    preset = vit_preset_of(config.width)
    has_diffusion = uses_diffusion(task, config)
    found: dict[str, object] = {
        **shared,
        "image_size": layout.size,
        "patch_size": layout.patch,
        "patch_proj": layout.pixels_per_value == 1,
        "n_channels": config.class_width if layout.categorical else layout.channels,
        "post_mlp": config.post_mlp,
        "quant_type": "lucid",
        "codebook_size": vocab_size,
        "latent_dim": config.latent or getattr(task.tokenizer, "latent", 32),
        "norm_codes": config.codebook is CodebookKind.cosine,
        "enc_type": f"{preset}_enc",
        "dec_type": "unet_patched" if has_diffusion else f"{preset}_dec",
    }
    if layout.categorical:
        found["n_labels"] = layout.channels
    if has_diffusion:
        diffusion = config.diffusion
        found |= {
            "beta_schedule": SCHEDULE_NAMES[diffusion.schedule],
            "prediction_type": PREDICTION_NAMES[diffusion.prediction],
            "zero_terminal_snr": diffusion.zero_terminal_snr,
            "thresholding": diffusion.threshold > 0,
            "num_train_timesteps": diffusion.steps,
        }
    else:
        found["out_conv"] = config.output_convs > 0
    return found


def _published_name(name: str, rules: list[tuple[str, str]], ours: set[str]) -> str:
    up = re.match(r"^decoder\.unet\.up\.(\d+)\.resample\.1\.(.*)$", name)
    if up:
        # It is the last layer of the published block, behind its attention if it has one.
        has_attention = f"decoder.unet.up.{up[1]}.attention.qkv.weight" in ours
        return f"decoder.output_blocks.{up[1]}.{2 if has_attention else 1}.conv.{up[2]}"
    # Published blocks count the first convolution; ours do not.
    name = re.sub(r"^decoder\.unet\.down\.(\d+)", lambda found: f"decoder.unet.down.{int(found[1]) + 1}", name)
    is_unet = name.startswith("decoder.unet.")
    for pattern, to in rules:
        if not (is_unet and (pattern, to) in SHARED_RULES):
            name = re.sub(pattern, to, name)
    return name


def _copy_tensor(ours: Tensor, tensors: TensorSource, name: str) -> None:
    found = tensors.shape(name)
    value = tensors[name]
    if name.endswith("pos_emb"):
        value = value[0].flatten(1).T
    if [size for size in value.shape if size != 1] != [size for size in ours.shape if size != 1] and (
        value.numel() != ours.numel() or value.shape[0] != ours.shape[0]
    ):
        raise CheckpointError(f"The tensor {name!r} has shape {found}, expected {tuple(ours.shape)}.")
    ours.copy_(value.reshape(ours.shape))


def _seed_averages(state: Mapping[str, Tensor], tensors: TensorSource, name: str) -> None:
    """Set the codebook's running sums from its codes and counts if the checkpoint has none."""
    book = "codebook.quantize._codebook."
    if "quantize._codebook.initted" not in tensors:
        state[f"{book}initted"].fill_(value=True)
    if "quantize._codebook.cluster_size" not in tensors:
        state[f"{book}cluster_size"].fill_(1.0)
    if name not in tensors:
        state[f"{book}embed_avg"].copy_(state[f"{book}embed"] * state[f"{book}cluster_size"][..., None])


def _in_published_shape(name: str, value: Tensor, task: TokenizerTask) -> Tensor:
    if name.endswith("initted"):
        return value.reshape(1).float()
    if name.startswith("quantize._codebook."):
        return value[0]
    if name in ("quant_proj.weight", "post_quant_proj.weight"):
        return value[..., None, None]
    if name == "encoder.proj.weight":
        assert isinstance(task.layout, Dense)
        kernel: Tensor = value.unflatten(1, (-1, task.layout.values_per_patch, task.layout.values_per_patch))
        return kernel
    if name.endswith("pos_emb"):
        return _as_image(value)
    if re.search(r"_blocks?\..*\.(qkv|proj_out)\.weight$", name):
        return value[..., 0]
    return value


def _as_image(positions: Tensor) -> Tensor:
    """A table of positions (n, d) in the published shape (1, d, h, w)."""
    side = round(len(positions) ** 0.5)
    image: Tensor = positions.T.unflatten(1, (side, side))
    return image[None]
