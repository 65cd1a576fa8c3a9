"""Tokens per second of generation against its plain form: sequences of 64 and 256 tokens, grids in 8 and 25 steps.

    python -m benchmarks.generation [--repetitions 3] [--threads 2] [--batch 4]

Tiny size (6 + 6 layers, width 384), 7 modalities at the published vocabularies and grids, fp32, from 196 depth tokens.
Both forms take turns in one process; medians are shown. The plain form is `benchmarks.plain_generation`; beside it, for
sequences, the time it would need if it ran the encoder once. Asked for: at least 20 times at 256 tokens of a sequence,
1.5 times at a guided grid.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.plain import PlainFourM
from benchmarks.plain_generation import known_grid, nothing_known, unmask_plainly, write_plainly
from benchmarks.samples import ARMS, machine, published_streams
from networks.batch import Column
from networks.fourm import FourM
from networks.fourm_config import FourMConfig, Size
from networks.generation.branches import Branches, encode_branches
from networks.generation.dice import Dice
from networks.generation.generate import generate
from networks.generation.inputs import Given, lay
from networks.generation.plan import Decoding, Plan, Scheme
from networks.generation.schedules import Temperature, TokenSchedule
from networks.generation.write import Assignment, write

SEQUENCES, STEPS, GUIDANCE = (64, 256), (8, 25), 2.0
GREEDY = Decoding(scheme=Scheme.maskgit, tokens=TokenSchedule.cosine, temperature=Temperature(start=0.0))


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@torch.no_grad()
def write_ours(model: FourM, given: dict[str, Given], b: int, num: int) -> None:
    """Write ``num`` tokens of a caption, whatever they are."""
    canvas, device = lay(model, given, ["caption"]), torch.device("cpu")
    context = encode_branches(model, canvas, "caption", Branches(hidden=(frozenset(),)), b, device, prompted=True)
    # No token has this id, so that nothing ends early.
    assignment = Assignment(ends=torch.full((b,), -1), limits=torch.full((b,), num), most=num)
    for _ in write(model, context, "caption", assignment, GREEDY, Dice(keys=torch.arange(b))):
        pass


class Bench:
    """Both models and what they generate from."""

    def __init__(self, b: int) -> None:
        torch.manual_seed(0)
        self.b, self.streams = b, published_streams(ARMS[7], shared_text=False)
        config = FourMConfig(size=Size.tiny)
        self.ours = FourM(self.streams, config).eval()
        self.plain = PlainFourM(self.streams, config, 256, 256).eval()
        depth = torch.randint(0, 8192, (b, 196))
        self.given = {"depth": Given(column=Column(values=depth, lengths=torch.full((b,), 196)))}
        self.batch = {**nothing_known(self.streams, b), "depth": known_grid(depth)}

    def sequence(self, num: int, repetitions: int) -> tuple[float, float, float]:
        """Median seconds of ours, of the plain form, and of the plain form with one run of the encoder."""
        ours = [seconds(lambda: write_ours(self.ours, self.given, self.b, num)) for _ in range(repetitions + 1)][1:]
        plain, spared = (
            [
                seconds(lambda once=once: write_plainly(self.plain, self.batch, "caption", num, encodes_once=once))  # type: ignore[misc]
                for _ in range(repetitions)
            ]
            for once in (False, True)
        )
        return statistics.median(ours), statistics.median(plain), statistics.median(spared)

    def grid(self, steps: int, guidance: float, repetitions: int) -> tuple[float, float]:
        """Median seconds of ours and of the plain form."""
        plan = Plan(decodings={"normals": Decoding(**{**vars(GREEDY), "steps": steps, "guidance": guidance})})
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(repetitions + 1):
            pair = (
                seconds(lambda: generate(self.ours, self.given, ["normals"], plan, torch.Generator())),
                seconds(lambda: unmask_plainly(self.plain, self.batch, "normals", steps, guidance)),
            )
            if number:
                for kept, value in zip(times, pair, strict=True):
                    kept.append(value)
        return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench, b = Bench(arguments.batch), arguments.batch
    print(machine())
    print(f"{'target':<28}{'ours, tokens/s':>15}{'plain, tokens/s':>16}{'ratio':>8}{'encoder once':>14}{'ratio':>8}")
    for num in SEQUENCES:
        ours, plain, spared = bench.sequence(num, arguments.repetitions)
        rates = [b * num / value for value in (ours, plain, spared)]
        print(
            f"{f'sequence, {num} tokens':<28}{rates[0]:>15.0f}{rates[1]:>16.0f}{plain / ours:>8.1f}"
            f"{rates[2]:>14.0f}{spared / ours:>8.1f}"
        )
    for steps in STEPS:
        for guidance in (1.0, GUIDANCE):
            ours, plain = bench.grid(steps, guidance, arguments.repetitions)
            name = f"grid, {steps} steps{', guided' if guidance != 1 else ''}"
            print(f"{name:<28}{b * 196 / ours:>15.0f}{b * 196 / plain:>16.0f}{plain / ours:>8.1f}")


if __name__ == "__main__":
    main()
