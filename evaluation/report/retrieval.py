"""The rows of the report's table of retrieval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.route import Retrieval
from evaluation.scores import Score
from evaluation.statistics import SeedSummary
from evaluation.tasks.retrieval_metrics import ZERO_SHOT_ACCURACY, chance_levels
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class RetrievalRow:
    """All metrics of one model and space, for one query and gallery."""

    route: Retrieval
    arm: str
    num_samples: int
    """Size of the gallery, and number of queries."""
    metrics: Mapping[str, SeedSummary]
    units: Mapping[str, str]
    zero_shot_chance: float | None
    """Share of the most frequent class, where classes were measured."""

    @property
    def chance(self) -> Mapping[str, float]:
        """The chance level of each metric."""
        return chance_levels(self.num_samples)


def retrieval_rows(scores: Sequence[Score], modalities: Mapping[str, Modality]) -> dict[str, list[RetrievalRow]]:
    """Rows of each model and space, by query and gallery in words."""
    groups: dict[tuple[Retrieval, str], list[Score]] = {}
    for score in scores:
        if isinstance(score.route, Retrieval):
            groups.setdefault((score.route, score.arm), []).append(score)
    rows: dict[str, list[RetrievalRow]] = {}
    for (route, arm), own in groups.items():
        values: dict[str, list[float]] = {}
        for score in own:
            values.setdefault(score.metric, []).append(score.value)
        row = RetrievalRow(
            route=route,
            arm=arm,
            num_samples=own[0].num_samples,
            zero_shot_chance=next((item.chance for item in own if item.metric == ZERO_SHOT_ACCURACY), None),
            metrics={metric: SeedSummary(values=tuple(items)) for metric, items in values.items()},
            units={score.metric: score.unit for score in own},
        )
        rows.setdefault(_title(route, modalities), []).append(row)
    return rows


def _title(route: Retrieval, modalities: Mapping[str, Modality]) -> str:
    query, gallery = (
        " + ".join(modalities[name].title if name in modalities else name for name in names)
        for names in (route.query, route.gallery)
    )
    part = "" if route.share == 1 else f" ({route.share:.0%} of the patches)"
    return f"{query}{part} → {gallery}"
