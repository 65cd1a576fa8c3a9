"""Training on a GPU: tokens per second, share of the device's peak, memory; eager, compiled, and sharded by FSDP2.

    python -m benchmarks.throughput [--cases B:21:256:eager B:21:256:blocks XL:21:32:fsdp] [--steps 20] [--peak 989]

A case is size:modalities:batch:form. Forms: ``eager``; ``blocks``, every transformer block compiled on its own;
``model``, the whole model compiled; ``fsdp``, compiled blocks under `fully_shard` on a mesh of one device. Forward,
backward, clipping and fused AdamW in bf16 over fp32 weights (FSDP: bf16 weights in the blocks, fp32 ones kept), at the
published vocabularies and grids, 256 input and 256 target tokens (128 at 7 modalities), masks of the published mixture
for that arm's recipe, batches made beforehand. Operations are what torch's own counter counts in an eager step: matrix
products and attention, forward and backward, padding included. ``--peak`` is the device's dense bf16 rate in TFLOP/s
that the share is taken of; 989 is the Hopper datasheet's.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.samples import MODALITY_SETS, published_streams, random_samples
from modalities.mixtures import MaskingPreset
from networks.batch import TokenBatch
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig

CASES = ("B:7:256:eager", "B:7:256:blocks", "B:21:128:eager", "B:21:128:blocks", "B:21:128:model", "L:21:96:blocks")
TOKENS = {7: 128, 14: 256, 21: 256}
RECIPES = {7: MaskingPreset.rgb2all_and_all2all, 14: MaskingPreset.fourm_21, 21: MaskingPreset.fourm_21}
BATCHES = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table."""

    size: Size
    num_modalities: int
    batch: int
    mode: str

    @classmethod
    def parse(cls, text: str) -> "Case":
        size, num_modalities, batch, mode = text.split(":")
        return cls(size=Size[size], num_modalities=int(num_modalities), batch=int(batch), mode=mode)

    def batches(self, device: torch.device) -> list[TokenBatch]:
        streams = published_streams(MODALITY_SETS[self.num_modalities])
        tokens = TOKENS[self.num_modalities]
        masking = MaskingConfig(num_inputs=tokens, num_targets=tokens, recipe=RECIPES[self.num_modalities])
        masker, generator = Masker(streams, masking), torch.Generator().manual_seed(0)
        return [masker(random_samples(streams, self.batch, seed), generator).to(device) for seed in range(BATCHES)]

    def model(self, device: torch.device) -> FourM:
        torch.manual_seed(0)
        with device:
            model = FourM(published_streams(MODALITY_SETS[self.num_modalities]), FourMConfig(size=self.size))
        if self.mode in ("blocks", "fsdp"):
            model.compile_blocks()
        if self.mode == "model":
            model.compile()
        if self.mode == "fsdp":
            mesh = init_device_mesh(device.type, (1,))
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
            for block in [*model.encoder, *model.decoder]:
                fully_shard(block, mesh=mesh, mp_policy=policy)
            fully_shard(model, mesh=mesh)
        return model


class TrainingSetup:
    """A model and its optimizer."""

    def __init__(self, model: FourM, device: torch.device) -> None:
        self.model, self.device = model, device
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), fused=True)

    def step(self, batch: TokenBatch) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            loss: torch.Tensor = self.model(batch).loss
        return loss


def flops_per_sample(case: Case, device: torch.device) -> float:
    """Operations of a sample's step, from an eager one of a small batch."""
    small = Case(size=case.size, num_modalities=case.num_modalities, batch=8, mode="eager")
    setup, batch = TrainingSetup(small.model(device), device), small.batches(device)[0]
    with FlopCounterMode(display=False) as counter:
        setup.forward(batch).backward()
    return float(counter.get_total_flops()) / small.batch


def measure(case: Case, steps: int, device: torch.device, peak: float) -> str:
    """A line of the table."""
    flops = flops_per_sample(case, device) * case.batch
    free_memory(device)
    start_time = time.perf_counter()
    batches, setup = case.batches(device), TrainingSetup(case.model(device), device)
    first = float(setup.step(batches[0]))
    for number in range(BATCHES):
        setup.step(batches[number])
    synchronize(device)
    ready, times = time.perf_counter() - start_time, []
    for number in range(steps):
        start_time = time.perf_counter()
        setup.step(batches[number % BATCHES])
        synchronize(device)
        times.append(time.perf_counter() - start_time)
    seconds = statistics.median(times)
    slots = case.batch * 2 * TOKENS[case.num_modalities]
    filled = statistics.mean(float((b.visible.float().mean() + b.decoder_visible.float().mean()) / 2) for b in batches)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    rate = flops / seconds / 1e12
    params = sum(item.numel() for item in setup.model.parameters())
    return (
        f"{case.size.value:<5}{case.num_modalities:>4}{params / 1e6:>8.0f}"
        f"{case.batch:>6} {case.mode:<8}{seconds * 1e3:>9.1f}"
        f"{slots / seconds / 1e3:>12.0f}{filled:>8.0%}{rate:>10.0f}{rate / peak:>7.1%}"
        f"{memory:>9.1f}{ready:>9.0f}{first:>9.4f}"
    )


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def free_memory(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def main() -> None:
    """Print a table; each case has a process of its own, so that none inherits memory or a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peak", type=float, default=989.0)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that a case may take")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        run_case(Case.parse(arguments.cases[0]), arguments.steps, arguments.peak)
        return
    print(f"{torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'}, torch {torch.__version__}")
    print(
        f"{'size':<5}{'mod.':>4}{'M par.':>8}{'batch':>6} {'form':<8}{'ms/step':>9}{'k slots/s':>12}{'filled':>8}"
        f"{'TFLOP/s':>10}{'share':>7}{'GiB':>9}{'ready, s':>9}{'1st loss':>9}",
        flush=True,
    )
    command = [sys.executable, "-m", "benchmarks.throughput", "--alone", "--steps", str(arguments.steps)]
    for case in arguments.cases:
        try:
            subprocess.run(
                [*command, "--peak", str(arguments.peak), "--cases", case], timeout=arguments.limit, check=True
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{case}: {type(error).__name__}", flush=True)


def run_case(case: Case, steps: int, peak: float) -> None:
    """One case, in this process."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if case.mode == "fsdp":
        for name, value in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29533"), ("RANK", "0"), ("WORLD_SIZE", "1")):
            os.environ.setdefault(name, value)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        print(measure(case, steps, device, peak), flush=True)
    except torch.OutOfMemoryError:
        print(f"{case}: out of memory", flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
