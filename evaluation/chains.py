"""Whether it helps to generate one modality by way of others: the direct route beside the chained one.

What a chain gets wrong on its way it believes from then on, so a chain can do harm. Both routes are asked the same
samples and their last step is decoded in the same way; the steps between take the most likely tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from evaluation.config import EvaluationConfig
from evaluation.crossentropy import entrance_of, on_device, token_losses
from evaluation.decoding import is_dense
from evaluation.held_out import Codecs, Split, batches
from evaluation.records import WELL_FORMED, chain, route
from evaluation.roundtrip import Baselines
from evaluation.routes import Route, predict_values, rows_of
from evaluation.tables import FigureRow
from networks.batch import Column
from networks.devices import device_of
from networks.fourm import Context, FourM
from networks.generation.canvas import shown
from networks.generation.generate import generate
from networks.generation.inputs import Given
from networks.generation.plan import Plan
from networks.generation.predict import GREEDY
from networks.masking import select

PLAN = Plan(default=GREEDY, prompted=False)


def measure_chains(
    model: FourM, codecs: Codecs, held_out: Split, baselines: Baselines, config: EvaluationConfig
) -> list[Route]:
    """Every chain of the config that the model has all modalities of."""
    targets = {stream.name for stream in model.streams if stream.is_target}
    return [
        _measure(model, codecs, held_out, baselines, names, config)
        for names in config.chains
        if entrance_of(model, names[0]) in model.index and targets.issuperset(names[1:])
    ]


@torch.no_grad()
def _measure(
    model: FourM, codecs: Codecs, held_out: Split, baselines: Baselines, names: Sequence[str], config: EvaluationConfig
) -> Route:
    """One chain, batch by batch."""
    source, *between, target = names
    entrance, device = entrance_of(model, source), device_of(model)
    count = min(config.num_samples, held_out.num_samples)
    measured = Route(codecs, chain(names), target, config, count)
    for indices in batches(count, config.batch_size):
        samples = on_device(held_out.tokens.columns(indices, [entrance, target]), device)
        context = _context(model, samples[entrance], entrance, between)
        asked = select({target: samples[target]}, model.streams, inputs=[], targets=[target])
        losses = token_losses(model, asked, context, target, baselines.unigrams[target])
        measured.tally.add(losses, int(indices[0]))
        present = (samples[target].lengths > 0).cpu().numpy()
        if not is_dense(codecs, target):
            present &= indices < config.num_sequences
        if present.any():
            kept = torch.from_numpy(present).to(device)
            values, well_formed = predict_values(model, codecs, rows_of(context, kept), target, config)
            truth = [held_out.values[target][int(index)] for index in indices[present]]
            measured.add(values, truth, well_formed)
    return measured


def _context(model: FourM, column: Column, entrance: str, between: Sequence[str]) -> Context:
    """What the decoder looks at when all that comes before the target has been generated."""
    # Nothing is drawn at temperature 0; the generator is asked for its seed all the same.
    parts = generate(model, {entrance: Given(column=column)}, between, PLAN, torch.Generator().manual_seed(0))
    return model.encode(shown([parts], model.streams, len(column.lengths), column.lengths.device))


@dataclass(frozen=True, kw_only=True)
class ChainRow:
    """One figure of a chain, beside the same figure of the direct route."""

    chained: FigureRow
    direct: FigureRow

    def gain(self, arm: str) -> float:
        """How much better the chain is than the direct route, in the figure's unit; negative where it does harm."""
        difference = self.chained.arms[arm].mean - self.direct.arms[arm].mean
        return difference if self.chained.higher_is_better else -difference


def chain_rows(rows: Sequence[FigureRow]) -> list[ChainRow]:
    """The figures of every chain whose direct route was measured too."""
    found = {(row.route, row.target, row.metric): row for row in rows}
    pairs = []
    for row in rows:
        names = row.route.split("->")
        direct = found.get((route(names[0], names[-1]), row.target, row.metric))
        if len(names) > 2 and direct is not None and row.metric != WELL_FORMED:
            pairs.append(ChainRow(chained=row, direct=direct))
    return pairs
