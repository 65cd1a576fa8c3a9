"""Whether it helps to generate one modality by way of others: the direct route beside the chained one.

What a chain gets wrong on its way it believes from then on, so a chain can do harm. Both routes are asked the same
samples and their last step is decoded in the same way; the steps between take the most likely tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from evaluation.config import EvaluationConfig
from evaluation.references.round_trip import ReferenceLevels
from evaluation.report.tables import MetricRow
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import WELL_FORMED, chain_name, route_name
from evaluation.tasks.cross_entropy import input_stream, on_device, token_losses
from evaluation.tasks.routes import RouteEvaluator, predict_target, select_rows
from networks.batch import PaddedTokens
from networks.device import module_device
from networks.fourm.model import Context, FourM
from networks.generation.config import GenerationConfig
from networks.generation.generate import generate
from networks.generation.inputs import ConditionInput
from networks.generation.predict import GREEDY
from networks.generation.state import encoder_batch
from networks.masking.masker import select
from networks.tokenizers.codec import Codec

GREEDY_PLAN = GenerationConfig(default=GREEDY, prompt_with_sentinel=False)


def measure_chains(
    model: FourM, codec: Codec, held_out: EvalSplit, reference_levels: ReferenceLevels, config: EvaluationConfig
) -> list[RouteEvaluator]:
    """Every chain of the config that the model has all modalities of."""
    targets = {stream.name for stream in model.streams if stream.is_target}
    return [
        _measure_chain(model, codec, held_out, reference_levels, names, config)
        for names in config.chains
        if input_stream(model, names[0]) in model.index and targets.issuperset(names[1:])
    ]


@torch.no_grad()
def _measure_chain(
    model: FourM,
    codec: Codec,
    held_out: EvalSplit,
    reference_levels: ReferenceLevels,
    names: Sequence[str],
    config: EvaluationConfig,
) -> RouteEvaluator:
    """One chain, batch by batch."""
    source, *intermediate, target = names
    input_name, device = input_stream(model, source), module_device(model)
    count = min(config.num_samples, held_out.num_samples)
    measured = RouteEvaluator(codec, chain_name(names), target, config, count)
    for indices in index_batches(count, config.batch_size):
        samples = on_device(held_out.tokens.read(indices, [input_name, target]), device)
        context = _generate_context(model, samples[input_name], input_name, intermediate)
        target_batch = select({target: samples[target]}, model.streams, inputs=[], targets=[target])
        losses = token_losses(model, target_batch, context, target, reference_levels.unigrams[target])
        measured.loss_accumulator.add(losses, int(indices[0]))
        present = (samples[target].lengths > 0).cpu().numpy()
        if not codec.is_dense(target):
            present &= indices < config.num_sequences
        if present.any():
            row_mask = torch.from_numpy(present).to(device)
            predicted = predict_target(model, codec, select_rows(context, row_mask), target, config)
            truth = [held_out.values[target][int(index)] for index in indices[present]]
            measured.add(predicted, truth)
    return measured


def _generate_context(model: FourM, column: PaddedTokens, input_name: str, intermediate: Sequence[str]) -> Context:
    """What the decoder looks at when all that comes before the target has been generated."""
    # Nothing is drawn at temperature 0; the generator is asked for its seed all the same.
    parts = generate(
        model, {input_name: ConditionInput(tokens=column)}, intermediate, GREEDY_PLAN, torch.Generator().manual_seed(0)
    )
    return model.encode(encoder_batch([parts], model.streams, len(column.lengths), column.lengths.device))


@dataclass(frozen=True, kw_only=True)
class ChainComparison:
    """One figure of a chain, beside the same figure of the direct route."""

    chained: MetricRow
    direct: MetricRow

    def gain(self, arm: str) -> float:
        """How much better the chain is than the direct route, in the figure's unit; negative where it does harm."""
        difference = self.chained.arms[arm].mean - self.direct.arms[arm].mean
        return difference if self.chained.higher_is_better else -difference


def chain_rows(rows: Sequence[MetricRow]) -> list[ChainComparison]:
    """The figures of every chain whose direct route was measured too."""
    direct_rows = {(row.route, row.target, row.metric): row for row in rows}
    pairs = []
    for row in rows:
        names = row.route.split("->")
        direct = direct_rows.get((route_name(names[0], names[-1]), row.target, row.metric))
        if len(names) > 2 and direct is not None and row.metric != WELL_FORMED:
            pairs.append(ChainComparison(chained=row, direct=direct))
    return pairs
