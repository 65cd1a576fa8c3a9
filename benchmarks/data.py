"""Memory and speed of reading training data, on token stores of the published 7-modality layout.

    python -m benchmarks.data [--folder FOLDER] [--sizes 10000 200000] [--steps 150]

Makes the stores (196 tokens a grid of 224 pixels, text of up to 256 tokens; no pixels, which would take 30 GB), trains
a small model on each in one process and in two (DDP over gloo), and prints the peak of the proportional set size of all
its processes together (PSS: of a page that n processes share, each counts 1/n), the samples per second from store to
batch, and which files change when a modality is added. Linux only.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from lightning import Trainer

from benchmarks.samples import EOS_ID, describe_machine, published_streams
from lightning_modules.data.loading import BatchSampler, FourMDataModule, MaskedTokenDataset
from lightning_modules.data.store import TokenStore, write_tokens
from lightning_modules.fourm import FourMModule
from lightning_modules.optim import FourMOptimConfig
from modalities.presets import FOURM_7
from networks.fourm.config import FourMConfig, Size
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig
from networks.streams import GridStream, PixelStream, Stream, TokenStream

SHARD, BATCH = 1_000, 16
FIRST_WORD_ID = 300
"""Ids below it are special in the published vocabulary."""
MASKING = MaskingConfig(num_inputs=128, num_targets=128)
ADDED = GridStream(name="added", num_tokens=196, vocabulary="added", vocab_size=8192, grid=14)


def token_streams() -> tuple[Stream, ...]:
    """The streams of the 7 modalities but the pixels."""
    return tuple(stream for stream in published_streams(FOURM_7) if not isinstance(stream, PixelStream))


def write_stream(folder: Path, stream: Stream, count: int, rng: np.random.Generator) -> None:
    """Write random tokens of one stream into one shard."""
    assert isinstance(stream, TokenStream)
    if isinstance(stream, GridStream):
        values = list(rng.integers(0, stream.vocab_size, (count, stream.num_tokens)))
    else:
        lengths = rng.integers(1, stream.num_tokens, count)
        values = [np.append(rng.integers(FIRST_WORD_ID, stream.vocab_size, n), EOS_ID) for n in lengths]
    write_tokens(folder, stream.name, values, "random", vocab_size=stream.vocab_size)


def make_store(folder: Path, count: int) -> list[Path]:
    """Write ``count`` samples, unless they are there; the folders of the shards."""
    shards = [folder / f"{first:08d}" for first in range(0, count, SHARD)]
    for number, shard in enumerate(shards):
        for stream in token_streams():
            if not (shard / stream.name).is_dir():
                write_stream(shard, stream, min(SHARD, count - number * SHARD), np.random.default_rng(number))
    return shards


def train(shards: Sequence[Path], devices: int, steps: int) -> None:
    """Train a small model on a store."""
    streams = token_streams()
    store = TokenStore(shards, streams)
    optim = FourMOptimConfig(total_tokens=1e9, warmup_tokens=1e6)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        devices=devices,
        strategy="auto" if devices == 1 else "ddp_find_unused_parameters_true",
        limit_val_batches=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.set_num_threads(1)
    module = FourMModule(streams, FourMConfig(size=Size.nano), optim)
    trainer.fit(module, datamodule=FourMDataModule(store, store, Masker(streams, MASKING), batch_size=BATCH))


def peak_memory(arguments: Sequence[str]) -> float:
    """Peak PSS of a command and all processes that it starts, in MiB."""
    command = [sys.executable, "-m", "benchmarks.data", *arguments]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_pss(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit status {process.returncode}.")
    return peak / 2**20


def tree_pss(pid: int) -> int:
    """PSS of a process and those below it, in bytes."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    except (psutil.NoSuchProcess, OSError):
        pass  # It has just ended.
    return total


def samples_per_second(shards: Sequence[Path]) -> tuple[float, float]:
    """Samples read in a second, and samples read and masked."""
    streams = token_streams()
    store = TokenStore(shards, streams)
    names, data = [stream.name for stream in streams], MaskedTokenDataset(store, Masker(streams, MASKING))
    specs = itertools.cycle(list(BatchSampler(len(store), BATCH, seed=0)))
    rates = []
    for read in (lambda spec: store.read(spec.indices.numpy(), names), data.__getitem__):
        seconds = []
        for spec in itertools.islice(specs, 60):
            start = time.perf_counter()
            read(spec)
            seconds.append(time.perf_counter() - start)
        rates.append(BATCH / float(np.median(seconds)))
    return rates[0], rates[1]


def files_touched_by_one_more(shards: Sequence[Path]) -> int:
    """Files that change or vanish when a stream is added to every shard."""

    def snapshot() -> dict[Path, tuple[int, int]]:
        found = [path for shard in shards for path in shard.rglob("*") if path.is_file()]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found if ADDED.name not in path.parts}

    before = snapshot()
    for shard in shards:
        write_stream(shard, ADDED, 8, np.random.default_rng(0))
    after = snapshot()
    return sum(after.get(path) != state for path, state in before.items())


def main() -> None:
    """Make the stores, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="where stores are made, and kept; a temporary one")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000], help="samples of each store")
    parser.add_argument("--steps", type=int, default=150, help="steps of each training")
    parser.add_argument("--train", type=int, default=0, help="train on the store of so many samples, and do no more")
    parser.add_argument("--devices", type=int, default=1, help="processes that --train trains in")
    options = parser.parse_args()
    if options.train:
        train(make_store(options.folder / str(options.train), options.train), options.devices, options.steps)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        print(describe_machine())
        print(
            "| samples | MiB on disk | peak PSS, MiB | with two ranks, MiB | read, samples/s | and masked, samples/s |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for size in options.sizes:
            shards = make_store(folder / str(size), size)
            disk = sum(path.stat().st_size for shard in shards for path in shard.rglob("*")) / 2**20
            common = ["--folder", str(folder), "--train", str(size), "--steps", str(options.steps)]
            peaks = [peak_memory([*common, "--devices", str(devices)]) for devices in (1, 2)]
            read, masked = samples_per_second(shards)
            print(
                f"| {size:,} | {disk:.0f} | {peaks[0]:.0f} | {peaks[1]:.0f} | {read:,.0f} | {masked:,.0f} |", flush=True
            )
        shards = make_store(folder / str(options.sizes[0]), options.sizes[0])
        print(f"Files of other modalities that one more modality touches: {files_touched_by_one_more(shards)}")


if __name__ == "__main__":
    main()
