"""What all models are measured against: each tokenizer's round trip as the upper bound, and chance below."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from evaluation.config import EvaluationConfig
from evaluation.metric_set import MetricSet, MetricValue
from evaluation.references.chance import Unigram, chance_metrics, fit_unigrams
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import ROUND_TRIP_ROUTE, WELL_FORMED, WELL_FORMED_TITLE, Score, read_scores, write_scores
from modalities.errors import DataError
from modalities.metrics.base import FRACTION
from modalities.storage.atomic import atomic_write_bytes
from networks.tokenizers.codec import Codec

SCORES_FILE, UNIGRAMS_FILE = "baselines.json", "unigrams.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReferenceLevels:
    """Bounds and chance levels: measured once, and the same for every arm and seed."""

    scores: tuple[Score, ...]
    """The round trip of every modality that can be predicted, by its own metrics, with chance beside it."""
    unigrams: Mapping[str, Unigram]
    """By stream."""

    def ceiling(self, target: str, metric: str) -> float | None:
        """The round trip's figure, if there is one."""
        found = self._find(target, metric)
        return found.value if found else None

    def chance(self, target: str, metric: str) -> float | None:
        """The best constant guess's figure, if there is one."""
        found = self._find(target, metric)
        return found.chance if found else None

    def save(self, folder: Path) -> None:
        """Write both parts into a folder.

        Raises:
            DataError: The folder cannot be written.
        """
        write_scores(folder / SCORES_FILE, self.scores)
        tables = {name: item.log_probability.contiguous() for name, item in self.unigrams.items()}
        atomic_write_bytes(folder / UNIGRAMS_FILE, save(tables))

    @classmethod
    def load(cls, folder: Path) -> "ReferenceLevels":
        """What `save` wrote.

        Raises:
            DataError: A file is missing or corrupt.
        """
        scores = tuple(read_scores(folder / SCORES_FILE))
        try:
            tables = load_file(folder / UNIGRAMS_FILE)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{folder / UNIGRAMS_FILE} cannot be read: {error}.") from error
        return cls(scores=scores, unigrams={name: Unigram(log_probability=table) for name, table in tables.items()})

    def _find(self, target: str, metric: str) -> Score | None:
        return next((score for score in self.scores if (score.target, score.metric) == (target, metric)), None)


def measure_reference_levels(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> ReferenceLevels:
    """Every bound and chance level: once for an ablation, before any model is measured."""
    scores: list[Score] = []
    for name in codec.targets:
        scores += measure_round_trip(codec, name, training, held_out, config)
    return ReferenceLevels(scores=tuple(scores), unigrams=fit_unigrams(training, config.num_chance))


def measure_round_trip(
    codec: Codec, name: str, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> list[Score]:
    """The figures of a modality's own tokens, decoded: what a model that predicts every token right would get.

    Sequences lose what their grammar cannot say (bins, order, what was cut at the longest length), dense modalities
    what their codebook cannot.
    """
    modality, count = codec.modalities[name], num_measured_samples(codec, name, held_out, config)
    measured_split = replace(held_out, num_samples=count)
    metric_set, well_formed = MetricSet(modality), 0
    for indices in index_batches(count, config.batch_size):
        column = held_out.tokens.read(indices, [name])[name]
        present_rows = [row for row, length in enumerate(column.lengths.tolist()) if length > 0]
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
    """How many held-out samples of a modality are measured: fewer of sequences, which are slow to write."""
    limit = config.num_samples if codec.is_dense(name) else min(config.num_samples, config.num_sequences)
    return min(limit, held_out.num_samples)


def _round_trip_score(name: str, metric: str, metric_value: MetricValue, chance: float | None, count: int) -> Score:
    return Score(
        route=ROUND_TRIP_ROUTE,
        target=name,
        metric=metric,
        metric_title=metric_value.title,
        value=metric_value.value,
        unit=metric_value.unit,
        higher_is_better=metric_value.higher_is_better,
        chance=chance,
        num_samples=count,
    )
