"""Time and memory of the import of a 4M-21 checkpoint of B size: 834 M parameters with the real vocabularies.

    python -m benchmarks.import_checkpoint

It writes 3.3 GB of random weights and a folder of the same size into a temporary folder, which it removes. Peak memory
is the process's largest resident set, mapped pages of the file included.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_modules.checkpoints.import_published import ImportOptions, import_checkpoint
from lightning_modules.checkpoints.safetensors import write_safetensors

WIDTH, HEADS, DEPTH, TEXT_VOCAB = 768, 12, 12, 30_000

GRIDS = {
    "tok_rgb@224": (14, 16384),
    "tok_normal@224": (14, 8192),
    "tok_depth@224": (14, 8192),
    "tok_semseg@224": (14, 4096),
    "tok_clip@224": (14, 8192),
    "tok_dinov2@224": (16, 8192),
    "tok_imagebind@224": (16, 8192),
    "tok_sam_edge@224": (14, 8192),
    "tok_canny_edge@224": (14, 8192),
    "tok_dinov2_global": (4, 8192),
    "tok_imagebind_global": (4, 8192),
}
"""Side of the grid and size of the vocabulary."""

TEXTS = ("caption", "det", "metadata", "human_poses", "color_palette", "sam_instance")


def config() -> dict[str, Any]:
    """The published config of 4M-21 B."""
    outputs = [*TEXTS, *GRIDS]
    return {
        "domains_in": [*outputs, "rgb@224", "t5_caption"],
        "domains_out": outputs,
        "image_size": 224,
        "patch_size": 16,
        "dim": WIDTH,
        "encoder_depth": DEPTH,
        "decoder_depth": DEPTH,
        "num_heads": HEADS,
        "mlp_ratio": 4,
        "act_layer": "SiLU",
        "gated_mlp": True,
        "norm_bias": False,
        "qkv_bias": False,
        "proj_bias": False,
        "mlp_bias": False,
    }


def tensor_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of the checkpoint and its shape."""
    hidden = int(2 * 4 * WIDTH / 3)
    square, wide = (WIDTH, WIDTH), (hidden, WIDTH)
    for depth in range(DEPTH):
        mlp = {"mlp.fc1": wide, "mlp.fc2": (WIDTH, hidden), "mlp.fc3": wide}
        for name, shape in {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": square, **mlp}.items():
            yield f"encoder.{depth}.{name}.weight", shape
        maps = {"self_attn.qkv": (3 * WIDTH, WIDTH), "self_attn.proj": square, "cross_attn.q": square}
        maps |= {"cross_attn.kv": (2 * WIDTH, WIDTH), "cross_attn.proj": square}
        for name, shape in {**maps, **mlp}.items():
            yield f"decoder.{depth}.{name}.weight", shape
        norms = [f"encoder.{depth}.{part}" for part in ("norm1", "norm2")]
        norms += [f"decoder.{depth}.{part}" for part in ("norm1", "norm2", "query_norm", "context_norm")]
        for name in norms:
            yield f"{name}.weight", (WIDTH,)
    for name in ("encoder_norm", "decoder_norm"):
        yield f"{name}.weight", (WIDTH,)
    yield "decoder_proj_context.weight", square
    yield "decoder_proj_context.bias", (WIDTH,)
    yield "mask_token", (1, 1, WIDTH)
    for side in ("encoder", "decoder"):
        for name in (*TEXTS, *GRIDS, *(("rgb@224", "t5_caption") if side == "encoder" else ())):
            num_positions = GRIDS[name][0] ** 2 if name in GRIDS else 196 if name == "rgb@224" else 512
            yield f"{side}_embeddings.{name}.mod_emb", (1, 1, WIDTH)
            yield f"{side}_embeddings.{name}.pos_emb", (1, num_positions, WIDTH)
            if name in GRIDS or name in TEXTS:
                vocab_size = GRIDS[name][1] if name in GRIDS else TEXT_VOCAB
                for part in ("token_emb", "to_logits")[: 1 if side == "encoder" else 2]:
                    yield f"{side}_embeddings.{name}.{part}.weight", (vocab_size, WIDTH)
    yield "encoder_embeddings.rgb@224.proj.weight", (WIDTH, 768)
    yield "encoder_embeddings.t5_caption.emb_proj.weight", (WIDTH, 4096)
    yield "encoder_embeddings.t5_caption.emb_proj.bias", (WIDTH,)


def write_checkpoint(path: Path) -> int:
    """Write random weights; answers with the number of parameters, fixed positions and shared codes not counted."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    block = torch.randn(1 << 20, generator=generator) * 0.02
    for name, shape in tensor_shapes():
        size = int(torch.tensor(shape).prod())
        # Random numbers by the gigabyte take longer than the import: one block is repeated, from another place.
        start = int(torch.randint(1 << 10, (), generator=generator))
        value = block[start:].repeat(-(-size // (len(block) - start)))[:size].view(shape)
        shared = name.replace("decoder_", "encoder_") if name.endswith("mod_emb") else ""
        tensors[name] = tensors.get(shared, value)
    write_safetensors(path, tensors, {"config": json.dumps(config())})
    fixed = {name for name in tensors if name.endswith("pos_emb") and "global" not in name}
    shared_codes = {name for name in tensors if name.startswith("decoder") and name.endswith("mod_emb")}
    return sum(value.numel() for name, value in tensors.items() if name not in fixed | shared_codes)


def peak_gigabytes() -> float:
    """The process's largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed_import(path: Path, out: Path) -> tuple[float, float]:
    """Seconds of an import, and the process's peak memory in gigabytes after it."""
    start_time = time.perf_counter()
    import_checkpoint(str(path), out, ImportOptions())
    return time.perf_counter() - start_time, peak_gigabytes()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        seconds, peak = timed_import(Path(sys.argv[1]), Path(sys.argv[2]))
        sys.stdout.write(json.dumps({"seconds": seconds, "peak": peak}) + "\n")
    else:
        with tempfile.TemporaryDirectory() as folder:
            count = write_checkpoint(Path(folder) / "model.safetensors")
            sys.stdout.write(f"{count:,} parameters\n")
            command = [sys.executable, "-m", "benchmarks.import_checkpoint", folder, f"{folder}/out"]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            sys.stdout.write(f"{result['seconds']:.1f} s, {result['peak']:.2f} GB at most\n")
