"""Time of a training step against the published algorithm in its plain form, at 7, 14 and 21 modalities.

    python -m benchmarks.training_step [--repetitions 7] [--arms 7 14 21] [--threads 2]

Forward, backward and AdamW at tiny size (6 + 6 layers, width 384), 256 input and 256 target tokens, batch 8, fp32, at
the published vocabularies and grids. Both forms take the same tokens and take turns in one process; medians are shown.
The plain form is `benchmarks.plain`. Asked for: at least 1.2 times at 7 modalities, 6 times at 21, and a cost of ours
that does not grow.
"""

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.plain import PlainFourM, plain_batch
from benchmarks.samples import MODALITY_SETS, describe_machine, published_streams, random_samples
from modalities.mixtures import MaskingPreset
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.kernels.row_table import retain_table_grads, zero_grads
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig

TOKENS, BATCH = 256, 8
WARM_UP = 12
"""Steps before ours is measured: oneDNN, where it multiplies, writes a program for each new shape. The plain form has
one such step, which is enough for shapes that do not change."""


def timed_step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> float:
    """Seconds of one step."""
    start_time = time.perf_counter()
    if isinstance(model, FourM):
        zero_grads(model)
    else:
        optimizer.zero_grad(set_to_none=True)
    loss().backward()
    optimizer.step()
    return time.perf_counter() - start_time


def measure(num: int, repetitions: int) -> tuple[float, float, str]:
    """Median seconds of a step of ours and of the plain form, and what was measured."""
    torch.manual_seed(0)
    names = MODALITY_SETS[num]
    streams = published_streams(names)
    config = FourMConfig(size=Size.tiny)
    masking = MaskingConfig(num_inputs=TOKENS, num_targets=TOKENS, recipe=MaskingPreset.all2all, alpha=1.0)
    masker, generator = Masker(streams, masking), torch.Generator().manual_seed(0)
    ours, plain = FourM(streams, config), PlainFourM(streams, config, TOKENS, TOKENS)
    retain_table_grads(ours)  # As `FourMModule` does on one CPU.
    fused = torch.optim.AdamW(ours.parameters(), lr=1e-4, fused=True)
    default = torch.optim.AdamW(plain.parameters(), lr=1e-4)
    times: tuple[list[float], list[float]] = ([], [])
    filled = []
    for number in range(WARM_UP):
        batch = masker(random_samples(streams, BATCH, seed=1000 + number), generator)
        timed_step(ours, fused, lambda batch=batch: ours(batch).loss)  # type: ignore[misc]
    for number in range(repetitions + 1):
        samples = random_samples(streams, BATCH, seed=number)
        batch = masker(samples, generator)
        plain_inputs = plain_batch(samples, batch, streams)
        filled.append(float((batch.visible.float().mean() + batch.decoder_visible.float().mean()) / 2))
        pair = (
            timed_step(ours, fused, lambda batch=batch: ours(batch).loss),  # type: ignore[misc]
            timed_step(plain, default, lambda plain_inputs=plain_inputs: plain(plain_inputs)),  # type: ignore[misc]
        )
        if number:
            for kept, seconds in zip(times, pair, strict=True):
                kept.append(seconds)
    sizes = [sum(item.numel() for item in model.parameters()) / 1e6 for model in (ours, plain)]
    note = f"{sizes[0]:.0f} M and {sizes[1]:.0f} M parameters, {statistics.mean(filled):.0%} of slots filled"
    return statistics.median(times[0]), statistics.median(times[1]), note


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--arms", type=int, nargs="*", default=sorted(MODALITY_SETS), choices=sorted(MODALITY_SETS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(describe_machine())
    print(f"{'modalities':>10}{'ours, s':>10}{'plain, s':>10}{'ratio':>8}{'tokens/s':>10}")
    for num in arguments.arms:
        ours, plain, note = measure(num, arguments.repetitions)
        rate = BATCH * 2 * TOKENS / ours
        print(f"{num:>10}{ours:>10.3f}{plain:>10.3f}{plain / ours:>8.2f}{rate:>10.0f}   {note}")
        gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{describe_machine()}, peak memory {peak:.1f} GB")


if __name__ == "__main__":
    main()
