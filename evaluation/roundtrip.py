"""What all models are measured against: each tokenizer's round trip as the upper bound, and chance below."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from evaluation.chance import Unigram, chance_figures, unigrams
from evaluation.config import EvaluationConfig
from evaluation.decoding import decode_dense, decode_sequences, is_dense
from evaluation.files import write_bytes
from evaluation.held_out import Codecs, Split, batches
from evaluation.meter import Figure, Meter
from evaluation.records import ROUND_TRIP, WELL_FORMED, Score, read_scores, write_scores
from modalities.errors import DataError

SCORES, UNIGRAMS = "baselines.json", "unigrams.safetensors"


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Bounds and chance levels: measured once, and the same for every arm and seed."""

    scores: tuple[Score, ...]
    """The round trip of every modality that can be predicted, by its own metrics, with chance beside it."""
    unigrams: Mapping[str, Unigram]
    """By stream."""

    def bound(self, target: str, metric: str) -> float | None:
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
        write_scores(folder / SCORES, self.scores)
        tables = {name: item.log_probability.contiguous() for name, item in self.unigrams.items()}
        write_bytes(folder / UNIGRAMS, save(tables))

    @classmethod
    def load(cls, folder: Path) -> "Baselines":
        """What `save` wrote.

        Raises:
            DataError: A file is missing or corrupt.
        """
        scores = tuple(read_scores(folder / SCORES))
        try:
            tables = load_file(folder / UNIGRAMS)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{folder / UNIGRAMS} cannot be read: {error}.") from error
        return cls(scores=scores, unigrams={name: Unigram(log_probability=table) for name, table in tables.items()})

    def _find(self, target: str, metric: str) -> Score | None:
        return next((score for score in self.scores if (score.target, score.metric) == (target, metric)), None)


def measure_baselines(codecs: Codecs, training: Split, held_out: Split, config: EvaluationConfig) -> Baselines:
    """Every bound and chance level: once for an ablation, before any model is measured."""
    scores: list[Score] = []
    for name in codecs.targets:
        scores += round_trip(codecs, name, training, held_out, config)
    return Baselines(scores=tuple(scores), unigrams=unigrams(codecs, training, config.num_chance))


def round_trip(codecs: Codecs, name: str, training: Split, held_out: Split, config: EvaluationConfig) -> list[Score]:
    """The figures of a modality's own tokens, decoded: what a model that predicts every token right would get.

    Sequences lose what their grammar cannot say (bins, order, what was cut at the longest length), dense modalities
    what their codebook cannot.
    """
    modality, count = codecs.modalities[name], sample_count(codecs, name, held_out, config)
    measured = replace(held_out, num_samples=count)
    meter, well_formed = Meter(modality), 0
    for indices in batches(count, config.batch_size):
        column = held_out.tokens.columns(indices, [name])[name]
        here = [row for row, length in enumerate(column.lengths.tolist()) if length > 0]
        truth = [held_out.values[name][int(indices[row])] for row in here]
        if is_dense(codecs, name):
            values = decode_dense(codecs, name, column.values[here].flatten(1))
        else:
            rows = [column.values[row, : int(column.lengths[row])].tolist() for row in here]
            read = decode_sequences(codecs, name, rows)
            values, well_formed = read.values, well_formed + sum(read.well_formed)
        meter.update(values, truth)
    chance = chance_figures(modality, training, measured, config.num_chance, config.batch_size)
    figures = meter.figures()
    scores = [
        _score(name, metric, figure, chance[metric].value, meter.num_samples) for metric, figure in figures.items()
    ]
    if not is_dense(codecs, name):
        share = Figure(value=well_formed / max(meter.num_samples, 1), unit="share", higher_is_better=True)
        scores.append(_score(name, WELL_FORMED, share, None, meter.num_samples))
    return scores


def sample_count(codecs: Codecs, name: str, held_out: Split, config: EvaluationConfig) -> int:
    """How many held-out samples of a modality are measured: fewer of sequences, which are slow to write."""
    most = config.num_samples if is_dense(codecs, name) else min(config.num_samples, config.num_sequences)
    return min(most, held_out.num_samples)


def _score(name: str, metric: str, figure: Figure, chance: float | None, count: int) -> Score:
    return Score(
        route=ROUND_TRIP,
        target=name,
        metric=metric,
        value=figure.value,
        unit=figure.unit,
        higher_is_better=figure.higher_is_better,
        chance=chance,
        num_samples=count,
    )
