"""The two levels that scores lie between: chance below, and the tokenizer's own round trip above."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from evaluation.scores import Score, read_scores, write_scores
from evaluation.unigram import Unigram
from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_bytes

SCORES_FILE, UNIGRAMS_FILE = "baselines.json", "unigrams.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReferenceLevels:
    """Chance levels and upper bounds of every target; the same for every arm and seed."""

    scores: tuple[Score, ...]
    """Round trip of every modality that can be predicted, by its own metrics, each with its chance level."""
    unigrams: Mapping[str, Unigram]
    """By stream."""

    def upper_bound(self, target: str, metric: str) -> float | None:
        """The metric of the round trip; None where it was not measured."""
        found = self._find(target, metric)
        return found.value if found else None

    def chance(self, target: str, metric: str) -> float | None:
        """The metric of the best constant guess; None where it was not measured."""
        found = self._find(target, metric)
        return found.chance if found else None

    def save(self, folder: Path) -> None:
        """Write scores and unigrams into a folder.

        Raises:
            DataError: The folder cannot be written.
        """
        write_scores(folder / SCORES_FILE, self.scores)
        tables = {name: item.log_probability.contiguous() for name, item in self.unigrams.items()}
        atomic_write_bytes(folder / UNIGRAMS_FILE, save(tables))

    @classmethod
    def load(cls, folder: Path) -> "ReferenceLevels":
        """The levels that `save` wrote.

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
