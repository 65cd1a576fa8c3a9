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
from benchmarks.plain_generation import known_grid, known_text, nothing_known, unmask_plainly, write_plainly
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

SEQUENCES, STEPS, GUIDANCE = (64, 256), (8, 25), 3.0
ROUTES = (("caption", "rgb"), ("depth", "normals"))
CAPTION = 32
"""Tokens of the caption that images are generated from."""
GREEDY = Decoding(scheme=Scheme.maskgit, tokens=TokenSchedule.cosine, temperature=Temperature(start=0.0))


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@torch.no_grad()
def write_ours(model: FourM, given: dict[str, Given], b: int, num: int) -> None:
    """Write ``num`` tokens of a caption, whatever they are."""
    model = model.frozen()
    canvas, device = lay(model, given, ["caption"]), torch.device("cpu")
    contexts = encode_branches(model, canvas, "caption", Branches(hidden=(frozenset(),)), b, device, prompted=True)
    # No token has this id, so that nothing ends early.
    assignment = Assignment(ends=torch.full((b,), -1), limits=torch.full((b,), num), most=num)
    for _ in write(model, contexts, "caption", assignment, GREEDY, Dice(keys=torch.arange(b))):
        pass


class Bench:
    """Both models and what they generate from: depth, or a caption of `CAPTION` tokens."""

    def __init__(self, b: int, num: int = 21) -> None:
        torch.manual_seed(0)
        self.b, self.streams = b, published_streams(ARMS[num], shared_text=False)
        config = FourMConfig(size=Size.tiny)
        self.ours = FourM(self.streams, config).eval()
        self.plain = PlainFourM(self.streams, config, 256, 256).eval()
        depth, caption = torch.randint(0, 8192, (b, 196)), torch.randint(300, 30_000, (b, CAPTION))
        nothing = nothing_known(self.streams, b)
        self.given = {name: {name: _given(ids)} for name, ids in (("depth", depth), ("caption", caption))}
        self.batch = {
            "depth": {**nothing, "depth": known_grid(depth)},
            "caption": {**nothing, "caption": known_text(nothing["caption"], caption)},
        }

    def sequence(self, num: int, repetitions: int) -> tuple[float, float, float]:
        """Median seconds of ours, of the plain form, and of the plain form with one run of the encoder."""
        given, batch = self.given["depth"], self.batch["depth"]

        def spent(*, encodes_once: bool) -> list[float]:
            write = partial(write_plainly, self.plain, batch, "caption", num, encodes_once=encodes_once)
            return [seconds(write) for _ in range(repetitions)]

        ours = [seconds(partial(write_ours, self.ours, given, self.b, num)) for _ in range(repetitions + 1)][1:]
        plain, spared = spent(encodes_once=False), spent(encodes_once=True)
        return statistics.median(ours), statistics.median(plain), statistics.median(spared)

    def grid(self, route: tuple[str, str], steps: int, guidance: float, repetitions: int) -> tuple[float, float]:
        """Median seconds of ours and of the plain form."""
        source, target = route
        plan = Plan(decodings={target: Decoding(**{**vars(GREEDY), "steps": steps, "guidance": guidance})})
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(repetitions + 1):
            pair = (
                seconds(lambda: generate(self.ours, self.given[source], [target], plan, torch.Generator())),
                seconds(lambda: unmask_plainly(self.plain, self.batch[source], target, steps, guidance)),
            )
            if number:
                for kept, value in zip(times, pair, strict=True):
                    kept.append(value)
        return statistics.median(times[0]), statistics.median(times[1])


def _given(ids: torch.Tensor) -> Given:
    return Given(column=Column(values=ids, lengths=torch.full((len(ids),), ids.shape[1])))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--arm", type=int, default=21, choices=sorted(ARMS), help="modalities that the model knows")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench, b = Bench(arguments.batch, arguments.arm), arguments.batch
    print(machine())
    print(f"{'route':<36}{'ours, tokens/s':>15}{'plain, tokens/s':>16}{'ratio':>8}{'encoder once':>14}{'ratio':>8}")
    for num in SEQUENCES:
        ours, plain, spared = bench.sequence(num, arguments.repetitions)
        rates = [b * num / value for value in (ours, plain, spared)]
        print(
            f"{f'depth -> caption, {num} tokens':<36}{rates[0]:>15.0f}{rates[1]:>16.0f}{plain / ours:>8.1f}"
            f"{rates[2]:>14.0f}{spared / ours:>8.1f}",
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
