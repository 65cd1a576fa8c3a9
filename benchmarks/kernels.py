"""Gain of each path for CPUs, switched off alone: a training step or generation with and without it, in turns.

    python -m benchmarks.kernels [--pairs 7] [--threads 1] [--cases quickstart benchmark]

``quickstart`` is a training step of the quickstart with 21 modalities, ``benchmark`` one of `benchmarks.training_step`
with 21 modalities, ``caption to rgb`` and ``depth to normals`` 8 guided steps of `benchmarks.generation`. Times are
CPU seconds of the process, user and system together, which other work on the machine changes less than wall-clock time.
The gain is the median over pairs of (without - with) / without. Paths that this processor does not take are not
measured.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import torch

from benchmarks.generation import GREEDY, GUIDANCE, GenerationBenchmark
from benchmarks.samples import describe_machine, published_streams, random_samples
from experiments.schema.load import find_config, load_config
from modalities.mixtures import MaskingPreset
from modalities.presets import FOURM_21
from modalities.registry import default_registry
from networks.batch import TokenBatch
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.generation.config import DecodingConfig, GenerationConfig
from networks.generation.generate import generate
from networks.kernels.row_table import RowTable, retain_table_grads, zero_grads
from networks.masking.masker import Masker
from networks.masking.mixtures import MaskingConfig
from networks.streams import Stream, streams_of

TEXT_VOCAB = 5000
"""Size of the quickstart's text vocabulary, about."""

Setting = tuple[tuple[Stream, ...], FourMConfig, MaskingConfig, int]
"""Streams, model, masking and batch size."""


def quickstart_setting() -> Setting:
    """The quickstart with 21 modalities."""
    config, registry = load_config(find_config("quickstart")), default_registry()
    streams = streams_of({name: registry[name].scaled(config.scale) for name in FOURM_21}, TEXT_VOCAB)
    return streams, config.model, config.masking, config.training.batch_size


def benchmark_setting() -> Setting:
    """`benchmarks.training_step` with 21 modalities."""
    masking = MaskingConfig(num_inputs=256, num_targets=256, recipe=MaskingPreset.all2all, alpha=1.0)
    return published_streams(), FourMConfig(size=Size.tiny), masking, 8


class TrainingCase:
    """A model and its batches; one run is a training step on each batch."""

    def __init__(self, setting: Setting, num_batches: int) -> None:
        torch.manual_seed(0)
        streams, config, masking, b = setting
        self.model = FourM(streams, config)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        masker, generator = Masker(streams, masking), torch.Generator().manual_seed(0)
        samples = [random_samples(streams, b, seed=number, shortest=0.2) for number in range(num_batches)]
        self.batches: list[TokenBatch] = [masker(item, generator) for item in samples]
        retain_table_grads(self.model)

    def run(self) -> None:
        """A step on each batch."""
        for batch in self.batches:
            zero_grads(self.model)
            self.model(batch).loss.backward()
            self.optimizer.step()

    def switches(self) -> dict[str, Callable[[], AbstractContextManager[object]]]:
        """What switches each path off."""
        return {
            "rows without padding": lambda: mock.patch("networks.kernels.packing.packed_slots", return_value=None),
            "gradients of tables in place": self._autograd_tables,
        }

    @contextmanager
    def _autograd_tables(self) -> Iterator[None]:
        tables = [item for item in self.model.modules() if isinstance(item, RowTable)]
        for table in tables:
            table.retains_grad = False
            table.table.grad = None
        yield
        for table in tables:
            table.retains_grad = True
            table.table.grad = None


class GenerationCase:
    """A model at published vocabularies; one run generates a grid of four samples in 8 guided steps."""

    def __init__(self, source: str, target: str) -> None:
        self.benchmark, self.source, self.target = GenerationBenchmark(4), source, target
        decoding = DecodingConfig(**{**vars(GREEDY), "steps": 8, "guidance": GUIDANCE})
        self.plan = GenerationConfig(decodings={target: decoding})

    def run(self) -> None:
        """Generate once."""
        generate(self.benchmark.ours, self.benchmark.given[self.source], [self.target], self.plan, torch.Generator())

    def switches(self) -> dict[str, Callable[[], AbstractContextManager[object]]]:
        """What switches each path off."""
        return {
            "guidance contexts without padding": lambda: mock.patch(
                "networks.generation.guidance.MIN_WIDTH_RATIO", 1e-3
            ),
        }


CASES: dict[str, Callable[[], TrainingCase | GenerationCase]] = {
    "quickstart": lambda: TrainingCase(quickstart_setting(), num_batches=12),
    "benchmark": lambda: TrainingCase(benchmark_setting(), num_batches=1),
    "caption to rgb": lambda: GenerationCase("caption", "rgb"),
    "depth to normals": lambda: GenerationCase("depth", "normals"),
}


def cpu_seconds(run: Callable[[], None]) -> float:
    """CPU seconds of one run."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def compare(run: Callable[[], None], switch_off: Callable[[], AbstractContextManager[object]], pairs: int) -> str:
    """The median gain of one path over ``pairs`` pairs, with the least and the largest."""
    gains = []
    for number in range(pairs + 1):
        seconds: dict[bool, float] = {}
        for is_on in (True, False) if number % 2 else (False, True):
            if is_on:
                seconds[True] = cpu_seconds(run)
            else:
                with switch_off():
                    seconds[False] = cpu_seconds(run)
        gains.append(1 - seconds[True] / seconds[False])
    kept = gains[1:]  # The first pair warms up.
    return f"{statistics.median(kept):>7.1%}   ({min(kept):.1%} to {max(kept):.1%})"


def main() -> None:
    """Print a line for each path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(describe_machine(), flush=True)
    for name in arguments.cases:
        case = CASES[name]()
        for path, switch_off in case.switches().items():
            print(f"{f'{name}: {path}':<44}{compare(case.run, switch_off, arguments.pairs)}", flush=True)


if __name__ == "__main__":
    main()
