"""Metrics of each tokenizer's round trip, which bound what a model can reach that predicts its tokens."""

from dataclasses import replace

from evaluation.config import EvaluationConfig
from evaluation.metric_set import MetricSet, MetricValue
from evaluation.references.chance import chance_metrics
from evaluation.route import TokenizerRoundTrip
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import WELL_FORMED, WELL_FORMED_TITLE, Score
from modalities.metrics.base import FRACTION
from networks.tokenizers.codec import Codec


def measure_round_trip(
    codec: Codec, name: str, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> list[Score]:
    """Metrics of a modality's own tokens, decoded: the scores of a model that predicts every token correctly.

    Dense modalities lose what their codebook cannot represent; sequences lose what their grammar cannot (values are
    binned, elements reordered, long sequences truncated).
    """
    modality, count = codec.modalities[name], num_measured_samples(codec, name, held_out, config)
    measured_split = replace(held_out, num_samples=count)
    metric_set, well_formed = MetricSet(modality), 0
    for indices in index_batches(count, config.batch_size):
        column = held_out.tokens.read(indices, [name])[name]
        present_rows = [row for row, length in enumerate(column.lengths.tolist()) if length > 0]
        if not present_rows:
            continue
        truth = [held_out.values[name][int(indices[row])] for row in present_rows]
        if codec.is_dense(name):
            decoded = codec.decode(name, column.values[present_rows].flatten(1))
        else:
            decoded = codec.decode(
                name, [column.values[row, : int(column.lengths[row])].tolist() for row in present_rows]
            )
        well_formed += sum(decoded.well_formed)
        metric_set.update(decoded.values, truth)
    chance = chance_metrics(modality, training, measured_split, config.num_chance, config.batch_size)
    results = metric_set.compute()
    scores = [
        _round_trip_score(name, metric, metric_value, chance[metric].value, metric_set.num_samples)
        for metric, metric_value in results.items()
    ]
    if not codec.is_dense(name):
        well_formed_rate = MetricValue(
            value=well_formed / max(metric_set.num_samples, 1),
            title=WELL_FORMED_TITLE,
            unit=FRACTION,
            higher_is_better=True,
        )
        scores.append(_round_trip_score(name, WELL_FORMED, well_formed_rate, None, metric_set.num_samples))
    return scores


def num_measured_samples(codec: Codec, name: str, held_out: EvalSplit, config: EvaluationConfig) -> int:
    """Number of held-out samples that are measured; fewer for sequences, which are slow to generate."""
    limit = config.num_samples if codec.is_dense(name) else min(config.num_samples, config.num_sequences)
    return min(limit, held_out.num_samples)


def _round_trip_score(name: str, metric: str, metric_value: MetricValue, chance: float | None, count: int) -> Score:
    return Score(
        route=TokenizerRoundTrip(target=name),
        metric=metric,
        metric_title=metric_value.title,
        value=metric_value.value,
        unit=metric_value.unit,
        higher_is_better=metric_value.higher_is_better,
        chance=chance,
        num_samples=count,
    )
