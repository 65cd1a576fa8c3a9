"""Tokens per second of generation against its plain form: sequences of 64 and 256 tokens, grids in 8 and 25 steps.

    python -m benchmarks.generation [--repetitions 3] [--threads 2] [--batch 8] [--arm 21]

Tiny size (6 + 6 layers, width 384), 21 modalities at the published vocabularies and grids, fp32: a caption from 196
depth tokens, images from a caption of 32 tokens, normals from depth; greedy, so that both forms can be compared.
Both forms take turns in one process; medians are shown. The plain form is `benchmarks.plain_generation`; beside it, for
sequences, the time it would need if it ran the encoder once. Asked for: at least 20 times at 256 tokens of a sequence,
1.5 times at a guided grid.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.plain import PlainFourM
from benchmarks.plain_generation import (
    generate_grid_plain,
    generate_sequence_plain,
    hidden_modalities,
    known_grid,
    known_text,
)
from benchmarks.samples import MODALITY_SETS, describe_machine, published_streams
from networks.batch import PaddedTokens
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.generation.autoregressive import InfillingSpec, generate_sequence_tokens
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig
from networks.generation.counter_rng import CounterRng
from networks.generation.generate import generate
from networks.generation.guidance import GuidanceBranches, encode_branches
from networks.generation.inputs import ConditionInput, prepare_inputs
from networks.generation.schedules import Temperature, TokenSchedule

SEQUENCES, STEPS, GUIDANCE = (64, 256), (8, 25), 3.0
ROUTES = (("caption", "rgb"), ("depth", "normals"))
CAPTION = 32
"""Tokens of the caption that images are generated from."""
GREEDY = DecodingConfig(scheme=DecodingScheme.maskgit, tokens=TokenSchedule.cosine, temperature=Temperature(start=0.0))


def elapsed_seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@torch.no_grad()
def generate_sequence_ours(model: FourM, given: dict[str, ConditionInput], b: int, num: int) -> None:
    """Write ``num`` tokens of a caption, whatever they are."""
    model = model.inference_copy()
    known_streams, device = prepare_inputs(model, given, ["caption"]), torch.device("cpu")
    contexts = encode_branches(
        model, known_streams, "caption", GuidanceBranches(excluded=(frozenset(),)), b, device, prompt_with_sentinel=True
    )
    # No token has this id, so that nothing ends early.
    spec = InfillingSpec(end_ids=torch.full((b,), -1), max_lengths=torch.full((b,), num), longest=num)
    for _ in generate_sequence_tokens(model, contexts, "caption", spec, GREEDY, CounterRng(keys=torch.arange(b))):
        pass


class GenerationBenchmark:
    """Both models and what they generate from: depth, or a caption of `CAPTION` tokens."""

    def __init__(self, b: int, num: int = 21) -> None:
        torch.manual_seed(0)
        self.b, self.streams = b, published_streams(MODALITY_SETS[num], shared_text=False)
        config = FourMConfig(size=Size.tiny)
        self.ours = FourM(self.streams, config).eval()
        self.plain = PlainFourM(self.streams, config, 256, 256).eval()
        depth, caption = torch.randint(0, 8192, (b, 196)), torch.randint(300, 30_000, (b, CAPTION))
        hidden = hidden_modalities(self.streams, b)
        self.given = {name: {name: _given(ids)} for name, ids in (("depth", depth), ("caption", caption))}
        self.batch = {
            "depth": {**hidden, "depth": known_grid(depth)},
            "caption": {**hidden, "caption": known_text(hidden["caption"], caption)},
        }

    def sequence(self, num: int, repetitions: int) -> tuple[float, float, float]:
        """Median seconds of ours, of the plain form, and of the plain form with one run of the encoder."""
        given, batch = self.given["depth"], self.batch["depth"]

        def timings(*, encode_once: bool) -> list[float]:
            write = partial(generate_sequence_plain, self.plain, batch, "caption", num, encode_once=encode_once)
            return [elapsed_seconds(write) for _ in range(repetitions)]

        ours = [
            elapsed_seconds(partial(generate_sequence_ours, self.ours, given, self.b, num))
            for _ in range(repetitions + 1)
        ][1:]
        plain, encoder_once = timings(encode_once=False), timings(encode_once=True)
        return statistics.median(ours), statistics.median(plain), statistics.median(encoder_once)

    def grid(self, route: tuple[str, str], steps: int, guidance: float, repetitions: int) -> tuple[float, float]:
        """Median seconds of ours and of the plain form."""
        source, target = route
        plan = GenerationConfig(
            decodings={target: DecodingConfig(**{**vars(GREEDY), "steps": steps, "guidance": guidance})}
        )
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(repetitions + 1):
            pair = (
                elapsed_seconds(lambda: generate(self.ours, self.given[source], [target], plan, torch.Generator())),
                elapsed_seconds(lambda: generate_grid_plain(self.plain, self.batch[source], target, steps, guidance)),
            )
            if number:
                for kept, value in zip(times, pair, strict=True):
                    kept.append(value)
        return statistics.median(times[0]), statistics.median(times[1])


def _given(ids: torch.Tensor) -> ConditionInput:
    return ConditionInput(tokens=PaddedTokens(values=ids, lengths=torch.full((len(ids),), ids.shape[1])))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--arm", type=int, default=21, choices=sorted(MODALITY_SETS), help="modalities that the model knows"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench, b = GenerationBenchmark(arguments.batch, arguments.arm), arguments.batch
    print(describe_machine())
    print(f"{'route':<36}{'ours, tokens/s':>15}{'plain, tokens/s':>16}{'ratio':>8}{'encoder once':>14}{'ratio':>8}")
    for num in SEQUENCES:
        ours, plain, encoder_once = bench.sequence(num, arguments.repetitions)
        rates = [b * num / value for value in (ours, plain, encoder_once)]
        print(
            f"{f'depth -> caption, {num} tokens':<36}{rates[0]:>15.0f}{rates[1]:>16.0f}{plain / ours:>8.1f}"
            f"{rates[2]:>14.0f}{encoder_once / ours:>8.1f}",
            flush=True,
        )
    for route in ROUTES:
        for steps in STEPS:
            for guidance in (1.0, GUIDANCE):
                ours, plain = bench.grid(route, steps, guidance, arguments.repetitions)
                name = f"{' -> '.join(route)}, {steps} steps{', guided' if guidance != 1 else ''}"
                print(f"{name:<36}{b * 196 / ours:>15.0f}{b * 196 / plain:>16.0f}{plain / ours:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
