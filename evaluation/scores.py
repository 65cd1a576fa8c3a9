"""One record for every number that an evaluation gives, and the JSON files that hold them."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evaluation.route import ARROW, AnyRoute, Route, parse_route
from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_text, read_json

CROSS_ENTROPY, CROSS_ENTROPY_TITLE = "cross_entropy", "cross entropy"
WELL_FORMED, WELL_FORMED_TITLE = "well_formed", "well formed"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number with its unit, its direction, and the two reference levels it lies between."""

    arm: str = ""
    """Set of modalities that the model was trained with; empty for a tokenizer, which all arms share."""
    seed: int | None = None
    """Seed of the training; None for a tokenizer."""
    route: AnyRoute
    """Source and target of the prediction."""
    metric: str
    metric_title: str
    """Name of the metric in tables."""
    value: float
    unit: str
    higher_is_better: bool
    chance: float | None = None
    """The same metric of the best constant guess; for tokens, of the unigram at each position."""
    upper_bound: float | None = None
    """The same metric of the tokenizer's own round trip."""
    num_samples: int = 0
    """Held-out samples behind the number."""
    samples: tuple[float, ...] = ()
    """The number for each held-out sample, in their order, where it is a mean over samples."""

    @property
    def target(self) -> str:
        """Modality that was predicted."""
        return self.route.target

    @property
    def key(self) -> tuple[AnyRoute, str]:
        """Route and metric: equal for scores of different models that can be compared."""
        return self.route, self.metric

    @property
    def tracking_name(self) -> str:
        """Name in an experiment tracker, as in ``rgb-to-depth/depth/rmse``."""
        # MLflow takes no plus signs and no arrows.
        return f"{self.route}/{self.target}/{self.metric}".replace(ARROW, "-to-").replace("+", "-and-")

    @property
    def normalized_score(self) -> float | None:
        """0 at the chance level, 1 at the upper bound, negative below chance; None where a level is missing."""
        return normalized_score(self.value, self.chance, self.upper_bound, higher_is_better=self.higher_is_better)

    def to_record(self) -> dict[str, Any]:
        """The score as one row of a table: every field but ``samples``, the route as text and as its parts."""
        source, via = (self.route.source, self.route.via) if isinstance(self.route, Route) else (None, ())
        return {
            "arm": self.arm,
            "seed": self.seed,
            "route": str(self.route),
            "source": source,
            "via": list(via),
            "target": self.target,
            "metric": self.metric,
            "metric_title": self.metric_title,
            "value": self.value,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "chance": self.chance,
            "upper_bound": self.upper_bound,
            "num_samples": self.num_samples,
        }


def normalized_score(
    value: float, chance: float | None, upper_bound: float | None, *, higher_is_better: bool
) -> float | None:
    """``(value - chance) / (upper_bound - chance)``; None where the bound is missing or no better than chance."""
    if chance is None or upper_bound is None or not all(map(math.isfinite, (value, chance, upper_bound))):
        return None
    gap = upper_bound - chance if higher_is_better else chance - upper_bound
    if gap <= 1e-9 * max(abs(upper_bound), abs(chance), 1e-9):
        return None
    return (value - chance) / (upper_bound - chance)


def write_scores(path: Path, scores: Iterable[Score]) -> None:
    """Write scores as JSON, atomically; numbers that are not finite become null.

    Every row holds the route as text (``rgb->depth``) and its parts (``source``, ``via``, ``target``; ``source`` is
    null for masked tokens and round trips), and ``samples`` where the score has them.

    Raises:
        DataError: The file cannot be written.
    """
    rows = []
    for score in scores:
        row = {name: _finite_or_none(item) for name, item in score.to_record().items()}
        if score.samples:
            row["samples"] = [_finite_or_none(round(item, 6)) for item in score.samples]
        rows.append(row)
    atomic_write_text(path, json.dumps({"scores": rows}, indent=1, allow_nan=False) + "\n")


def read_scores(path: Path) -> list[Score]:
    """The scores in a JSON file.

    Raises:
        DataError: The file is missing, or is not what `write_scores` writes.
    """
    content = read_json(path)
    rows = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise DataError(f"{path} does not hold a list of scores.")
    scores: list[Score] = []
    for row in rows:
        if not isinstance(row, dict) or set(row) - _ROW_KEYS:
            raise DataError(f"{path} holds something that is not a score: {str(row)[:80]}.")
        try:
            scores.append(_score_from_row(row))
        except KeyError as error:
            raise DataError(f"{path} holds an incomplete score: {error} is missing.") from error
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} holds an incomplete score: {error}.") from error
    return scores


_PLAIN_FIELDS = {item.name for item in fields(Score)} - {"route", "value", "samples"}
_ROW_KEYS = _PLAIN_FIELDS | {"route", "source", "via", "target", "value", "samples"}


def _score_from_row(row: dict[str, Any]) -> Score:
    """The score of a row; ``source`` and ``via`` are there for other readers, the route's text holds the same."""
    return Score(
        route=parse_route(row["route"], row["target"]),
        value=math.nan if row["value"] is None else float(row["value"]),
        samples=tuple(math.nan if item is None else float(item) for item in row.get("samples", ())),
        **{name: row[name] for name in _PLAIN_FIELDS & set(row)},
    )


def _finite_or_none(item: Any) -> Any:
    return None if isinstance(item, float) and not math.isfinite(item) else item
