"""Published tokenizers in the plainest form: functions of tensors under their published names, in fp64."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    """A linear map of the last axis; convolutions of one place count as such."""
    return x @ w[f"{name}.weight"].flatten(1).T + w[f"{name}.bias"]


def norm(w: Weights, name: str, x: Tensor, eps: float = 1e-6) -> Tensor:
    """A layer norm of the last axis."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    """The exact one."""
    return x * (1 + (x / math.sqrt(2)).erf()) / 2


def transformer(w: Weights, part: str, x: Tensor, heads: int, side: int) -> Tensor:
    """One sample's tokens (n, d) after positions, all blocks and the tanh MLP."""
    table = F.interpolate(w[f"{part}.pos_emb"], size=(side, side), mode="bicubic", align_corners=False)
    x = x + table[0].flatten(1).T
    depth = 0
    while f"{part}.blocks.{depth}.norm1.weight" in w:
        block = f"{part}.blocks.{depth}"
        width = x.shape[1] // heads
        parts = linear(w, f"{block}.attn.qkv", norm(w, f"{block}.norm1", x)).chunk(3, dim=1)
        gathered = []
        for head in range(heads):
            query, key, value = (item[:, head * width : (head + 1) * width] for item in parts)
            gathered.append((query @ key.T / math.sqrt(width)).softmax(-1) @ value)
        x = x + linear(w, f"{block}.attn.proj", torch.cat(gathered, dim=1))
        x = x + linear(w, f"{block}.mlp.fc2", gelu(linear(w, f"{block}.mlp.fc1", norm(w, f"{block}.norm2", x))))
        depth += 1
    if f"{part}.norm_mlp.weight" in w:
        hidden = linear(w, f"{part}.post_mlp.fc1", norm(w, f"{part}.norm_mlp", x)).tanh()
        x = x + linear(w, f"{part}.post_mlp.fc2", hidden)
    return x


def encode(w: Weights, x: Tensor, heads: int, *, cosine: bool) -> Tensor:
    """Codes (h, w) of one image (c, h, w) or class map (h, w)."""
    if "cls_emb.weight" in w:
        x = w["cls_emb.weight"][x].permute(2, 0, 1)
    kernel = w["encoder.proj.weight"]
    patch = kernel.shape[-1]
    tokens = F.conv2d(x[None], kernel, w["encoder.proj.bias"], stride=patch)[0]
    side = tokens.shape[1]
    latents = linear(w, "quant_proj", transformer(w, "encoder", tokens.flatten(1).T, heads, side))
    if cosine:
        latents = latents / latents.norm(dim=1, keepdim=True)
    distance = torch.stack([(latent - w["quantize._codebook.embed"]).square().sum(1) for latent in latents])
    return distance.argmin(1).view(side, side)


def decode(w: Weights, codes: Tensor, heads: int, channels: int) -> Tensor:
    """The image (c, h, w) of codes (h, w)."""
    side = len(codes)
    latents = w["quantize._codebook.embed"][codes.flatten()]
    tokens = transformer(w, "decoder", linear(w, "post_quant_proj", latents), heads, side)
    flat = linear(w, "decoder.out_proj", tokens)
    patch = math.isqrt(flat.shape[1] // channels)
    image = torch.zeros(channels, side * patch, side * patch, dtype=flat.dtype)
    for place, row in enumerate(flat):
        top, left = patch * (place // side), patch * (place % side)
        image[:, top : top + patch, left : left + patch] = row.view(channels, patch, patch)
    for number in range(2):
        block = f"decoder.out_conv.{number}"
        if f"{block}.gamma" in w:
            kernel, bias = w[f"{block}.dwconv.weight"], w[f"{block}.dwconv.bias"]
            splitmix64 = F.conv2d(image[None], kernel, bias, padding=3, groups=channels)[0].permute(1, 2, 0)
            hidden = gelu(linear(w, f"{block}.pwconv1", norm(w, f"{block}.norm", splitmix64)))
            image = image + (w[f"{block}.gamma"] * linear(w, f"{block}.pwconv2", hidden)).permute(2, 0, 1)
    return image


def product_codes(w: Weights, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes (m,), latents (c,) and the reconstruction of one vector."""
    latent = linear(w, "quant_proj", _bottleneck(w, "encoder", x))
    parts = latent.view(len(w["quantize.codes"]), -1)
    ids, values = [], []
    for number, part in enumerate(parts):
        codes = w["quantize.codes"][number]
        fit = (codes @ w["quantize.to_k.weight"][number]) @ part
        ids.append(int(fit.argmax()))
        values.append(codes[ids[-1]] @ w["quantize.to_v.weight"][number])
    quantised = torch.cat(values)
    return torch.tensor(ids), quantised, _bottleneck(w, "decoder", linear(w, "post_quant_proj", quantised))


def _bottleneck(w: Weights, part: str, x: Tensor) -> Tensor:
    x, depth = linear(w, f"{part}.linear_in", x), 0
    while f"{part}.layernorms.{depth}.weight" in w:
        hidden = linear(w, f"{part}.blocks.{depth}.block.0", norm(w, f"{part}.layernorms.{depth}", x, 1e-5))
        x = x + linear(w, f"{part}.blocks.{depth}.block.2", gelu(hidden))
        depth += 1
    return linear(w, f"{part}.linear_out", x)


def denoised(w: Weights, noised: Tensor, level: int, codes: Tensor, patch: int = 4) -> Tensor:
    """The UNet's answer to one noised image (c, h, w) at a noise level, given code vectors (k, p, q)."""
    channels = len(noised)
    image = F.pixel_unshuffle(noised[None], patch)
    wide = F.interpolate(codes[None], size=image.shape[2:], mode="nearest")
    width = w["decoder.time_embed.0.weight"].shape[1]
    frequency = torch.tensor([10_000 ** (-number / (width // 2)) for number in range(width // 2)], dtype=noised.dtype)
    code = torch.cat([(level * frequency).cos(), (level * frequency).sin()])
    code = linear(w, "decoder.time_embed.2", _silu(linear(w, "decoder.time_embed.0", code)))
    x, kept, number = torch.cat([image, wide], dim=1), [], 0
    while any(name.startswith(f"decoder.input_blocks.{number}.") for name in w):
        x = _layers(w, f"decoder.input_blocks.{number}", x, code)
        kept.append(x)
        number += 1
    x, number = _layers(w, "decoder.middle_block", x, code), 0
    while kept:
        x = _layers(w, f"decoder.output_blocks.{number}", torch.cat([x, kept.pop()], dim=1), code)
        number += 1
    x = F.conv2d(
        _silu(_group_norm(w, "decoder.out.0", x)), w["decoder.out.2.weight"], w["decoder.out.2.bias"], padding=1
    )
    return F.pixel_shuffle(x, patch)[0].view(channels, *noised.shape[1:])


def _layers(w: Weights, block: str, x: Tensor, code: Tensor) -> Tensor:
    """Every layer of one block, told apart by what weights it has."""
    number = 0
    while any(name.startswith(f"{block}.{number}.") for name in w):
        layer = f"{block}.{number}"
        if f"{layer}.in_layers.0.weight" in w:
            x = _residual(w, layer, x, code)
        elif f"{layer}.qkv.weight" in w:
            x = x + _look_around(w, layer, x)
        elif f"{layer}.op.weight" in w:
            x = F.conv2d(x, w[f"{layer}.op.weight"], w[f"{layer}.op.bias"], stride=2, padding=1)
        elif f"{layer}.conv.weight" in w:
            doubled = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.conv2d(doubled, w[f"{layer}.conv.weight"], w[f"{layer}.conv.bias"], padding=1)
        else:
            x = F.conv2d(x, w[f"{layer}.weight"], w[f"{layer}.bias"], padding=1)
        number += 1
    return x


def _residual(w: Weights, layer: str, x: Tensor, code: Tensor) -> Tensor:
    hidden = _silu(_group_norm(w, f"{layer}.in_layers.0", x))
    hidden = F.conv2d(hidden, w[f"{layer}.in_layers.2.weight"], w[f"{layer}.in_layers.2.bias"], padding=1)
    hidden = hidden + linear(w, f"{layer}.emb_layers.1", _silu(code))[None, :, None, None]
    hidden = _silu(_group_norm(w, f"{layer}.out_layers.0", hidden))
    hidden = F.conv2d(hidden, w[f"{layer}.out_layers.3.weight"], w[f"{layer}.out_layers.3.bias"], padding=1)
    if f"{layer}.skip_connection.weight" in w:
        x = F.conv2d(x, w[f"{layer}.skip_connection.weight"], w[f"{layer}.skip_connection.bias"])
    return x + hidden


def _look_around(w: Weights, layer: str, x: Tensor) -> Tensor:
    flat = _group_norm(w, f"{layer}.norm", x)[0].flatten(1).T
    query, key, value = linear(w, f"{layer}.qkv", flat).chunk(3, dim=1)
    gathered = (query @ key.T / math.sqrt(query.shape[1])).softmax(-1) @ value
    return linear(w, f"{layer}.proj_out", gathered).T.view_as(x)


def _group_norm(w: Weights, name: str, x: Tensor) -> Tensor:
    groups = x.view(32, -1)
    centred = groups - groups.mean(1, keepdim=True)
    scaled = (centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()).view_as(x)
    return scaled * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def _silu(x: Tensor) -> Tensor:
    return x * x.sigmoid()
