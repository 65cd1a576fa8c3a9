"""Writes cases of tokenizers: random weights in the published shapes, and what the plain functions make of them."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.reference.own.tokenizer import decode, denoised, encode, product_codes

WIDTH, HEADS, LATENT, CODES = 32, 2, 6, 23


def write_vqvae(folder: Path, seed: int, shown: int | None = None, **config: Any) -> None:
    """A case with a transformer decoder; ``shown`` is the side of images of another size than trained on."""
    config_json = {
        "enc_type": "vit_xt_enc",
        "dec_type": "vit_xt_dec",
        "quant_type": "lucid",
        "post_mlp": True,
        **config,
    }
    config_json |= {"codebook_size": CODES, "latent_dim": LATENT}
    draw = _random_tensors(seed)
    w: dict[str, Tensor] = {}
    channels, patch = config["n_channels"], config["patch_size"] if config.get("patch_proj", True) else 1
    outputs = config.get("n_labels") or channels
    _encoder(w, draw, config_json, channels, patch)
    _transformer(w, draw, "decoder", config["image_size"] // config["patch_size"])
    _linear(w, draw, "post_quant_proj", WIDTH, LATENT, 1, 1)
    _linear(w, draw, "decoder.out_proj", outputs * patch**2, WIDTH)
    for number in range(2 if config.get("out_conv") else 0):
        block = f"decoder.out_conv.{number}"
        w |= {f"{block}.dwconv.weight": draw(outputs, 1, 7, 7), f"{block}.dwconv.bias": draw(outputs)}
        _norm(w, draw, f"{block}.norm", outputs)
        _linear(w, draw, f"{block}.pwconv1", 4 * outputs, outputs)
        _linear(w, draw, f"{block}.pwconv2", outputs, 4 * outputs)
        w[f"{block}.gamma"] = draw(outputs)
    side = shown or config["image_size"]
    side = side if patch > 1 else side // config["patch_size"]
    x = draw(2, channels, side, side)
    if "n_labels" in config:
        x = torch.randint(outputs, (2, side, side), generator=torch.Generator().manual_seed(seed))
    plain = {name: value.double() for name, value in w.items()}
    cosine = bool(config.get("norm_codes", True))
    tokens = torch.stack([encode(plain, _double(image), HEADS, cosine=cosine) for image in x])
    io = {
        "input/x": x,
        "output/tokens": tokens,
        "output/quant": w["quantize._codebook.embed"][tokens].permute(0, 3, 1, 2),
        "output/reconstruction": torch.stack([decode(plain, row, HEADS, outputs) for row in tokens]).float(),
    }
    _write(folder, w, io, config_json)


def write_divae(folder: Path, seed: int, **config: Any) -> None:
    """A case with a UNet decoder of two levels."""
    config_json: dict[str, Any] = {
        "enc_type": "vit_xt_enc",
        "dec_type": "unet_patched_xt",
        "quant_type": "lucid",
        "post_mlp": False,
    }
    config_json |= {
        "image_size": 32,
        "n_channels": 3,
        "patch_size": 8,
        "codebook_size": CODES,
        "latent_dim": LATENT,
        **config,
    }
    draw = _random_tensors(seed)
    w: dict[str, Tensor] = {}
    _encoder(w, draw, config_json, 3, 8)
    _unet(w, draw, 3 * 16, 32)
    plain = {name: value.double() for name, value in w.items()}
    x, noised, levels = draw(2, 3, 32, 32), draw(2, 3, 32, 32), torch.tensor([3, 90])
    tokens = torch.stack([encode(plain, image.double(), HEADS, cosine=True) for image in x])
    quant = w["quantize._codebook.embed"][tokens].permute(0, 3, 1, 2)
    answers = [
        denoised(plain, image.double(), int(level), codes.double())
        for image, level, codes in zip(noised, levels, quant, strict=True)
    ]
    io = {"input/x": x, "input/noised": noised, "input/timesteps": levels, "output/tokens": tokens}
    io |= {"output/quant": quant, "output/denoiser": torch.stack(answers).float()}
    _write(folder, w, {**io, "output/alphas_cumprod": _cosine_shares(config_json["num_train_timesteps"])}, config_json)


def write_mlp(folder: Path, seed: int) -> None:
    """A case of product codes, its latent of another width than its MLP."""
    config_json: dict[str, Any] = {
        "enc_type": "BottleneckMLP/B_3-Wi_20",
        "dec_type": "BottleneckMLP/B_3-Wi_20",
        "quant_type": "memcodes",
    }
    config_json |= {
        "image_size": 1,
        "patch_size": 1,
        "n_channels": 10,
        "codebook_size": 7,
        "num_codebooks": 3,
        "latent_dim": 12,
    }
    draw = _random_tensors(seed)
    w: dict[str, Tensor] = {}
    for part, inputs, outputs in (("encoder", 10, 20), ("decoder", 20, 10)):
        _linear(w, draw, f"{part}.linear_in", 20, inputs)
        _linear(w, draw, f"{part}.linear_out", outputs, 20)
        for depth in range(3):
            _norm(w, draw, f"{part}.layernorms.{depth}", 20)
            _linear(w, draw, f"{part}.blocks.{depth}.block.0", 80, 20)
            _linear(w, draw, f"{part}.blocks.{depth}.block.2", 20, 80)
    _linear(w, draw, "quant_proj", 12, 20, 1, 1)
    _linear(w, draw, "post_quant_proj", 20, 12, 1, 1)
    w |= {"quantize.codes": draw(3, 7, 4), "quantize.to_k.weight": draw(3, 4, 4), "quantize.to_v.weight": draw(3, 4, 4)}
    plain, x = {name: value.double() for name, value in w.items()}, draw(4, 10)
    found = [product_codes(plain, row.double()) for row in x]
    ids, quant, answers = (torch.stack(list(column)) for column in zip(*found, strict=True))
    io = {"input/x": x, "output/tokens": ids, "output/quant": quant.float(), "output/reconstruction": answers.float()}
    _write(folder, w, {name: value[..., None, None] for name, value in io.items()}, config_json)


def _cosine_shares(steps: int) -> Tensor:
    """Nichol & Dhariwal's schedule, one step after the other, then rescaled to end without signal."""
    left, share = [], 1.0
    for step in range(steps):
        before, after = (math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in (step, step + 1))
        share *= 1 - min(1 - after / before, 0.999)
        left.append(math.sqrt(share))
    scale = left[0] / (left[0] - left[-1])
    return torch.tensor([((item - left[-1]) * scale) ** 2 for item in left])


def _encoder(w: dict[str, Tensor], draw: Any, config: dict[str, Any], channels: int, patch: int) -> None:
    w["encoder.proj.weight"], w["encoder.proj.bias"] = draw(WIDTH, channels, patch, patch), draw(WIDTH)
    if "n_labels" in config:
        w["cls_emb.weight"] = draw(config["n_labels"], channels)
    _transformer(w, draw, "encoder", config["image_size"] // config["patch_size"], post=config["post_mlp"])
    _linear(w, draw, "quant_proj", LATENT, WIDTH, 1, 1)
    codes = draw(CODES, LATENT)
    book = "quantize._codebook"
    if config.get("norm_codes", True):
        codes = codes / codes.norm(dim=1, keepdim=True)
    else:
        w[f"{book}.embed_avg"] = codes * 2
    w |= {f"{book}.embed": codes, f"{book}.cluster_size": torch.full((CODES,), 2.0), f"{book}.initted": torch.ones(1)}


def _transformer(w: dict[str, Tensor], draw: Any, part: str, side: int, *, post: bool = True) -> None:
    w[f"{part}.pos_emb"] = draw(1, WIDTH, side, side)
    for depth in range(2):
        block = f"{part}.blocks.{depth}"
        _norm(w, draw, f"{block}.norm1", WIDTH)
        _norm(w, draw, f"{block}.norm2", WIDTH)
        for name, rows, columns in (("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.fc1", 4, 1), ("mlp.fc2", 1, 4)):
            _linear(w, draw, f"{block}.{name}", rows * WIDTH, columns * WIDTH)
    if post:
        _norm(w, draw, f"{part}.norm_mlp", WIDTH)
        _linear(w, draw, f"{part}.post_mlp.fc1", 4 * WIDTH, WIDTH)
        _linear(w, draw, f"{part}.post_mlp.fc2", WIDTH, 4 * WIDTH)


def _unet(w: dict[str, Tensor], draw: Any, patched: int, width: int) -> None:
    """Two levels of one residual block, the second with attention and twice the channels."""
    _linear(w, draw, "decoder.time_embed.0", 4 * width, width)
    _linear(w, draw, "decoder.time_embed.2", 4 * width, 4 * width)
    _linear(w, draw, "decoder.input_blocks.0.0", width, patched + LATENT, 3, 3)
    _residual(w, draw, "decoder.input_blocks.1.0", width, width)
    _linear(w, draw, "decoder.input_blocks.2.0.op", width, width, 3, 3)
    _residual(w, draw, "decoder.input_blocks.3.0", width, 2 * width)
    _attention(w, draw, "decoder.input_blocks.3.1", 2 * width)
    _residual(w, draw, "decoder.middle_block.0", 2 * width, 2 * width)
    _attention(w, draw, "decoder.middle_block.1", 2 * width)
    _residual(w, draw, "decoder.middle_block.2", 2 * width, 2 * width)
    for number, inputs, outputs in ((0, 4, 2), (1, 3, 2), (2, 3, 1), (3, 2, 1)):
        _residual(w, draw, f"decoder.output_blocks.{number}.0", inputs * width, outputs * width)
        if outputs == 2:
            _attention(w, draw, f"decoder.output_blocks.{number}.1", 2 * width)
    _linear(w, draw, "decoder.output_blocks.1.2.conv", 2 * width, 2 * width, 3, 3)
    _norm(w, draw, "decoder.out.0", width)
    _linear(w, draw, "decoder.out.2", patched, width, 3, 3)


def _residual(w: dict[str, Tensor], draw: Any, name: str, inputs: int, outputs: int) -> None:
    _norm(w, draw, f"{name}.in_layers.0", inputs)
    _linear(w, draw, f"{name}.in_layers.2", outputs, inputs, 3, 3)
    _linear(w, draw, f"{name}.emb_layers.1", outputs, 128)
    _norm(w, draw, f"{name}.out_layers.0", outputs)
    _linear(w, draw, f"{name}.out_layers.3", outputs, outputs, 3, 3)
    if inputs != outputs:
        _linear(w, draw, f"{name}.skip_connection", outputs, inputs, 1, 1)


def _attention(w: dict[str, Tensor], draw: Any, name: str, width: int) -> None:
    _norm(w, draw, f"{name}.norm", width)
    _linear(w, draw, f"{name}.qkv", 3 * width, width, 1)
    _linear(w, draw, f"{name}.proj_out", width, width, 1)


def _linear(w: dict[str, Tensor], draw: Any, name: str, rows: int, *columns: int) -> None:
    w[f"{name}.weight"], w[f"{name}.bias"] = draw(rows, *columns) / math.prod(columns) ** 0.5 * 3, draw(rows)


def _norm(w: dict[str, Tensor], draw: Any, name: str, width: int) -> None:
    w[f"{name}.weight"], w[f"{name}.bias"] = 1 + draw(width), draw(width)


def _random_tensors(seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: 0.3 * torch.randn(shape, generator=generator)


def _double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def _write(folder: Path, w: dict[str, Tensor], io: dict[str, Tensor], config: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: value.contiguous() for name, value in w.items()}, folder / "model.safetensors")
    save_file({name: value.contiguous() for name, value in io.items()}, folder / "io.safetensors")
