"""Tokenizers against what the reference implementation computed from the same weights (`../shared/reference`).

The names are translated here only as far as these cases need; loading published checkpoints is another matter.
"""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from modalities.spec import Dense, Loss, ProductMLP, TokenizerTask, Vector, ViTVQ
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import DecoderKind, DiffusionConfig, TokenizerConfig
from networks.tokenizers.dense import DiffusionTokenizer, PlainTokenizer
from networks.tokenizers.tokenizer import Tokenizer

REFERENCE = Path(__file__).parents[4] / "shared" / "reference"
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference is not here")

TRANSFORMER = [
    (r"\.norm1\.", ".attention_norm."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.proj\.", ".attention.out."),
    (r"\.norm2\.", ".mlp_norm."),
    (r"\.mlp\.fc1\.", ".mlp.up."),
    (r"\.mlp\.fc2\.", ".mlp.down."),
    (r"\.norm_mlp\.", ".post.norm."),
    (r"\.post_mlp\.fc1\.", ".post.up."),
    (r"\.post_mlp\.fc2\.", ".post.down."),
    (r"^encoder\.(blocks|post)", r"encoder.1.\1"),
    (r"^decoder\.(blocks|post)", r"decoder.vit.\1"),
    (r"^encoder\.proj\.", "encoder.0."),
    (r"^decoder\.out_proj\.", "decoder.to_patches."),
    (r"^decoder\.out_conv\.", "decoder.convs."),
    (r"\.dwconv\.", ".depthwise."),
    (r"\.pwconv1\.", ".up."),
    (r"\.pwconv2\.", ".down."),
    (r"\.gamma$", ".scale"),
    (r"^cls_emb\.", "classes.table."),
    (r"^quant_proj\.", "to_latents."),
    (r"^post_quant_proj\.", "decoder.from_codes."),
    (r"^quantize\.", "codebook.quantize."),
]
UNET = [
    (r"^decoder\.input_blocks\.0\.0\.", "decoder.unet.read."),
    (r"^decoder\.input_blocks\.(\d+)\.0\.op\.", r"decoder.unet.down.\1.conv."),
    (r"^decoder\.input_blocks\.(\d+)\.0\.", r"decoder.unet.down.\1.residual."),
    (r"^decoder\.input_blocks\.(\d+)\.1\.", r"decoder.unet.down.\1.attention."),
    (r"^decoder\.middle_block\.0\.", "decoder.unet.middle.0.residual."),
    (r"^decoder\.middle_block\.1\.", "decoder.unet.middle.0.attention."),
    (r"^decoder\.middle_block\.2\.", "decoder.unet.middle.1.residual."),
    (r"^decoder\.output_blocks\.(\d+)\.\d\.conv\.", r"decoder.unet.up.\1.resample.1."),
    (r"^decoder\.output_blocks\.(\d+)\.0\.", r"decoder.unet.up.\1.residual."),
    (r"^decoder\.output_blocks\.(\d+)\.1\.", r"decoder.unet.up.\1.attention."),
    (r"^decoder\.out\.", "decoder.unet.write."),
    (r"^decoder\.time_embed\.", "decoder.unet.time."),
    (r"\.in_layers\.", ".first."),
    (r"\.out_layers\.3\.", ".second.2."),
    (r"\.out_layers\.0\.", ".second.0."),
    (r"\.emb_layers\.", ".code."),
    (r"\.skip_connection\.", ".skip."),
    (r"\.proj_out\.", ".out."),
]
MLP = [
    (r"^quant_proj\.", "encoder.1."),
    (r"^post_quant_proj\.", "decoder.0."),
    (r"^encoder\.(linear_in)\.", "encoder.0.read."),
    (r"^encoder\.(linear_out)\.", "encoder.0.write."),
    (r"^decoder\.(linear_in)\.", "decoder.1.read."),
    (r"^decoder\.(linear_out)\.", "decoder.1.write."),
    (r"^encoder\.layernorms\.(\d+)\.", r"encoder.0.blocks.\1.0."),
    (r"^decoder\.layernorms\.(\d+)\.", r"decoder.1.blocks.\1.0."),
    (r"^encoder\.blocks\.(\d+)\.block\.0\.", r"encoder.0.blocks.\1.1."),
    (r"^encoder\.blocks\.(\d+)\.block\.2\.", r"encoder.0.blocks.\1.3."),
    (r"^decoder\.blocks\.(\d+)\.block\.0\.", r"decoder.1.blocks.\1.1."),
    (r"^decoder\.blocks\.(\d+)\.block\.2\.", r"decoder.1.blocks.\1.3."),
    (r"^quantize\.to_k\.weight", "memcodes.to_keys"),
    (r"^quantize\.to_v\.weight", "memcodes.to_values"),
    (r"^quantize\.codes", "memcodes.codes"),
]


def fill(tokenizer: Tokenizer, folder: Path, rules: list[tuple[str, str]]) -> None:
    """Load the reference's weights under our names, each reshaped to our layer's shape."""
    ours, theirs = tokenizer.state_dict(), load_file(folder / "model.safetensors")
    filled: dict[str, Tensor] = {}
    for name, value in theirs.items():
        renamed = name
        for pattern, to in rules:
            renamed = re.sub(pattern, to, renamed)
        renamed = re.sub(r"unet\.down\.(\d+)", lambda match: f"unet.down.{int(match[1]) - 1}", renamed)
        if not name.endswith("pos_emb"):
            filled[renamed] = value.reshape(ours[renamed].shape)
    left = {name for name in set(ours) - set(filled) if not name.endswith("embed_avg")}
    assert left == set()
    tokenizer.load_state_dict({**ours, **filled})
    tokenizer.eval()


def sizes(folder: Path) -> TokenizerConfig:
    weights = load_file(folder / "model.safetensors")
    depths = [
        len({name.split(".")[2] for name in weights if name.startswith(f"{part}.blocks.")})
        for part in ("encoder", "decoder")
    ]
    return TokenizerConfig(
        width=48,
        heads=3,
        encoder_depth=depths[0],
        decoder_depth=depths[1],
        class_width=8,
        output_convs=2 if "decoder.out_conv.1.gamma" in weights else 0,
    )


PLAIN = {
    "vqvae_semseg": Dense(channels=11, size=32, patch=8, categorical=True),
    "vqvae_feature_map": Dense(channels=40, size=56, patch=14, cell=14),
    "vqvae_sam_mask": Dense(channels=1, size=32, patch=8),
}


@pytest.mark.parametrize("name", list(PLAIN))
def test_vq_tokenizers_compute_what_the_reference_does(name: str) -> None:
    folder, layout = REFERENCE / name, PLAIN[name]
    stated, io = json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")
    loss = Loss.cross_entropy if layout.categorical else Loss.mse
    spec = ViTVQ(name=name, vocab=stated["codebook_size"], latent=stated["latent_dim"], loss=loss)
    tokenizer = build_tokenizer(TokenizerTask(name=name, layout=layout, tokenizer=spec), sizes(folder))
    assert isinstance(tokenizer, PlainTokenizer)
    fill(tokenizer, folder, TRANSFORMER)
    with torch.no_grad():
        ids = tokenizer.encode(io["input/x"])
        assert torch.equal(ids, io["output/tokens"].flatten(1).long())
        torch.testing.assert_close(tokenizer.codebook.look_up(ids), io["output/quant"].flatten(2).transpose(1, 2))
        torch.testing.assert_close(tokenizer.decode(ids), io["output/reconstruction"], atol=1e-4, rtol=1e-4)


def test_the_diffusion_decoder_computes_what_the_reference_does() -> None:
    folder = REFERENCE / "divae_rgb"
    io = load_file(folder / "io.safetensors")
    channels = load_file(folder / "model.safetensors")["decoder.input_blocks.0.0.bias"].shape[0]
    config = TokenizerConfig(
        width=48,
        heads=3,
        encoder_depth=sizes(folder).encoder_depth,
        decoder=DecoderKind.diffusion,
        diffusion=DiffusionConfig(channels=channels, multipliers=(1, 2), blocks=1, attention=(2,)),
    )
    spec = ViTVQ(name="rgb", vocab=64, latent=16, loss=Loss.mse, diffusible=True)
    task = TokenizerTask(name="rgb", layout=Dense(channels=3, size=32, patch=8), tokenizer=spec)
    tokenizer = build_tokenizer(task, config)
    assert isinstance(tokenizer, DiffusionTokenizer)
    fill(tokenizer, folder, [*UNET, *TRANSFORMER])
    torch.testing.assert_close(tokenizer.decoder.shares, io["output/alphas_cumprod"].float(), atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        assert torch.equal(tokenizer.encode(io["input/x"]), io["output/tokens"].flatten(1).long())
        clean = tokenizer.decoder.unet(io["input/noised"], io["input/timesteps"].long(), io["output/quant"])
    torch.testing.assert_close(clean, io["output/denoiser"], atol=1e-4, rtol=1e-4)


def test_product_codes_compute_what_the_reference_does() -> None:
    folder = REFERENCE / "mlp_global"
    io = load_file(folder / "io.safetensors")
    config = TokenizerConfig(mlp_width=64, mlp_depth=2, mlp_latent=64)
    spec = ProductMLP(name="global", vocab=32, loss=Loss.cosine)
    task = TokenizerTask(name="global", layout=Vector(channels=40, num_tokens=8), tokenizer=spec)
    tokenizer = build_tokenizer(task, config)
    fill(tokenizer, folder, MLP)
    with torch.no_grad():
        ids = tokenizer.encode(io["input/x"].flatten(1))
        assert torch.equal(ids, io["output/tokens"].flatten(1).long())
        torch.testing.assert_close(tokenizer.decode(ids), io["output/reconstruction"].flatten(1), atol=1e-4, rtol=1e-4)
