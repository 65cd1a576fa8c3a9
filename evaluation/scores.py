"""What an evaluation says: one record for every number, with all that a reader needs to judge it."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_text, read_json

ROUND_TRIP_ROUTE = "tokenizer"
"""Route of a tokenizer's round trip, from values to tokens and back."""
MASKED_ROUTE = "masked"
"""Route of the masked-token question: a random part of everything in, the hidden tokens out."""
CROSS_ENTROPY, CROSS_ENTROPY_TITLE = "cross_entropy", "cross entropy"
WELL_FORMED, WELL_FORMED_TITLE = "well_formed", "well formed"


def route_name(source: str, target: str) -> str:
    """The name of the route from one whole modality to another, as in ``rgb->depth``."""
    return f"{source}->{target}"


def chain_name(names: Sequence[str]) -> str:
    """The name of a route by way of others, as in ``rgb->depth->semseg``."""
    return "->".join(names)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number, its unit and direction, and the two levels it lies between."""

    arm: str = ""
    """Set of modalities that the model was trained with; empty for a tokenizer, which all arms share."""
    seed: int | None = None
    """Seed of the training; None for a tokenizer."""
    route: str
    """`ROUND_TRIP`, `MASKED`, or as in ``rgb->depth``."""
    target: str
    """Modality that was predicted."""
    metric: str
    metric_title: str
    """What a table calls the metric."""
    value: float
    unit: str
    higher_is_better: bool
    chance: float | None = None
    """The same metric of the best constant guess; for tokens, of the unigram at each position."""
    ceiling: float | None = None
    """The same metric of the tokenizer's own round trip."""
    num_samples: int = 0
    """Held-out samples behind the number."""
    samples: tuple[float, ...] = ()
    """The number for each held-out sample, in their order, where it is a mean over samples."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What is measured, whoever is measured: route, target and metric."""
        return self.route, self.target, self.metric

    @property
    def normalized_score(self) -> float | None:
        """How much of the way from chance to the bound is gone: 0 at chance, 1 at the bound, negative below chance."""
        return normalized_score(self.value, self.chance, self.ceiling, higher_is_better=self.higher_is_better)


def normalized_score(
    value: float, chance: float | None, ceiling: float | None, *, higher_is_better: bool
) -> float | None:
    """``(value - chance) / (bound - chance)``, or None where the bound is missing or no better than chance."""
    if chance is None or ceiling is None or not all(map(math.isfinite, (value, chance, ceiling))):
        return None
    gap = ceiling - chance if higher_is_better else chance - ceiling
    if gap <= 1e-9 * max(abs(ceiling), abs(chance), 1e-9):
        return None
    return (value - chance) / (ceiling - chance)


def write_scores(path: Path, scores: Iterable[Score]) -> None:
    """Write scores as JSON, whole or not at all; numbers that are not finite become null.

    Raises:
        DataError: The file cannot be written.
    """
    rows = [{name: _to_json_value(item) for name, item in asdict(score).items()} for score in scores]
    atomic_write_text(path, json.dumps({"scores": rows}, indent=1, allow_nan=False) + "\n")


def read_scores(path: Path) -> list[Score]:
    """The scores in a JSON file.

    Raises:
        DataError: The file is missing, or is not what `write_scores` writes.
    """
    content = read_json(path)
    known = {item.name for item in fields(Score)}
    rows = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise DataError(f"{path} does not hold a list of scores.")
    scores: list[Score] = []
    for row in rows:
        if not isinstance(row, dict) or set(row) - known:
            raise DataError(f"{path} holds something that is not a score: {str(row)[:80]}.")
        try:
            scores.append(_score_from_json(row))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} holds an incomplete score: {error}.") from error
    return scores


def _score_from_json(row: dict[str, Any]) -> Score:
    value = row.get("value")
    samples = tuple(math.nan if item is None else float(item) for item in row.get("samples", ()))
    return Score(**{**row, "value": math.nan if value is None else float(value), "samples": samples})


def _to_json_value(item: Any) -> Any:
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if isinstance(item, tuple | list):
        return [_to_json_value(round(part, 6)) for part in item]
    return item
